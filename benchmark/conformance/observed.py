"""A miniature cell of any method on any dataset, run under watch: what it left, whom it asked, what it opened."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

from benchmark.cell.cell import Cell
from benchmark.conformance.watching import (
    Change,
    UnmovedAssistant,
    Watch,
    WatchedDataset,
    WatchedTeacher,
    counting_random_purchases,
    unchanged,
)
from benchmark.console.progress import Silent
from benchmark.corridor import CellRun
from benchmark.records.journal import Journal
from benchmark.records.record import CellFolder
from benchmark.running.isolation import isolated
from benchmark.student.module import StudentModule
from benchmark.student.student import Student
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.assistants import TextAssistant
from benchmark.teachers.panel import Panel
from benchmark.types import Example, Span, TrainingExample


class Killed(BaseException):
    """A death on purpose. Not an Exception: nothing on the way may catch it and clean up."""


@dataclass(frozen=True)
class Traces:
    """Everything that must be equal where two cells must be: plain values, so that another process can send them."""

    weights: str
    """A hash of the student's weights at the end."""
    predictions: list[str]
    """The student's answers to the test questions, as texts."""
    annotations: list[dict[str, Any]]
    """The rows of `annotations.parquet`."""
    log_probabilities: list[list[float]]
    """Of gold answers to the validation questions: these move where the texts of so small a student do not."""

    def unlike(self, other: Traces) -> set[str]:
        """The names of what differs."""
        return {name for name in vars(self) if getattr(self, name) != getattr(other, name)}


@dataclass(frozen=True)
class Observed:
    """A finished cell."""

    cell: Cell
    """The cell, with its watchers."""
    traces: Traces
    """What it left behind."""
    result: Mapping[str, Any]
    """What its record says of rounds, training, test and costs."""
    watch: Watch
    """What was seen from outside."""

    @property
    def charged(self) -> Mapping[str, Mapping[str, float]]:
        """The ledger's entries at the end."""
        entries: Mapping[str, Mapping[str, float]] = (
            self.result["rounds"][-1]["charged"] if self.result["rounds"] else {}
        )
        return entries

    @property
    def charged_calls(self) -> float:
        """The calls in all entries of the ledger."""
        return sum(entry["calls"] for entry in self.charged.values())

    def bought(self) -> set[str]:
        """The ids of the questions that something was written about."""
        return {row["question_id"] for row in self.traces.annotations}


def observe(cell: Cell, pool: Change = unchanged, test: Change = unchanged) -> Observed:
    """Runs a cell with watchers around its dataset and its teacher, and with the rows changed that the method sees."""
    watch = Watch()
    watched = _watched(cell, watch, pool, test)
    with counting_random_purchases(watch), tempfile.TemporaryDirectory() as folder:
        return _finished(watched, watch, Path(folder))


def observe_after_death(cell: Cell, at_step: int) -> Observed:
    """Runs a cell that dies in that optimiser step, all rounds counted together, and then runs it again."""
    watch = Watch()
    watched = replace(_watched(cell, watch), trainer=replace(cell.trainer, checkpoint_minutes=0))
    with tempfile.TemporaryDirectory() as folder:
        with _dying_at_step(at_step), contextlib.suppress(Killed):
            _finished(watched, watch, Path(folder))
        return _finished(watched, watch, Path(folder))


def _watched(cell: Cell, watch: Watch, pool: Change = unchanged, test: Change = unchanged) -> Cell:
    """The cell with watchers around its dataset and around each of its teachers."""
    teachers = {name: WatchedTeacher(teacher, cell.dataset, watch) for name, teacher in cell.teachers.items()}
    teacher: Any = next(iter(teachers.values()))
    if isinstance(cell.teacher, Panel):
        teacher = replace(cell.teacher, members=cast(Any, teachers))
    used: Any = cell.used_assistant
    assistant: Any = UnmovedAssistant(used, cell.dataset) if isinstance(used, TextAssistant) else cell.assistant
    dataset = cast(Dataset, WatchedDataset(cell.dataset, watch, pool, test))
    return replace(cell, dataset=dataset, teacher=teacher, assistant=assistant)


def observe_bare(cell: Cell) -> Observed:
    """Runs a cell as it is."""
    with tempfile.TemporaryDirectory() as folder:
        return _finished(cell, Watch(), Path(folder))


def fingerprint(student: Any) -> str:
    """A hash of the weights of this moment."""
    digest = hashlib.sha256()
    for weight in student.network.parameters():
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _dying_at_step(number: int) -> Iterator[None]:
    real, steps = StudentModule.training_step, [0]

    def counted(module: StudentModule, *args: Any) -> None:
        steps[0] += 1
        if steps[0] == number:
            raise Killed
        real(module, *args)

    with mock.patch.object(StudentModule, "training_step", counted):
        yield


def _finished(cell: Cell, watch: Watch, folder: Path) -> Observed:
    with isolated():
        place, display = CellFolder(folder, "cell"), Silent()
        run = CellRun(cell, place, Journal.open(folder, "cell", display.say), display)
        watch.state = lambda: (fingerprint(run.student), len(run.state.annotations))
        result = run.run().as_json()
        traces = Traces(
            weights=fingerprint(run.student),
            predictions=[row["text"] for row in _table(place.path, "predictions")],
            annotations=_table(place.path, "annotations"),
            log_probabilities=_log_probabilities(run.student, cell),
        )
        return Observed(cell, traces, result, watch)


def _table(folder: Path, name: str) -> list[dict[str, Any]]:
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / f"{name}.parquet").to_pylist()
    return rows


def _log_probabilities(student: Student, cell: Cell) -> list[list[float]]:
    form, task = cell.method.format, cell.dataset.task
    role = form.answer_path[0]
    examples = [
        TrainingExample(row.id, "answer", form.request(row.without_gold(), role, task).prompt, (Span(row.answer),))
        for row in cell.dataset.load().validation
    ]
    return [list(values) for values in student.target_log_probabilities(examples)]


# --- changed rows ----------------------------------------------------------------------------------------------------


def nonsense_gold(_: int, example: Example) -> Example:
    """The row with a wrong answer, of the form that the dataset's answers have, and with no real rationale."""
    wrong = "-98765"
    if example.choices:
        wrong = example.choices[(example.choices.index(example.answer) + 1) % len(example.choices)]
    return replace(example, answer=wrong, rationale=None if example.rationale is None else "fiddlesticks")


def nonsense_gold_in_every_other_row(number: int, example: Example) -> Example:
    """Half of the gold stays right, so that a method that drops what contradicts it has something left to train on."""
    return nonsense_gold(number, example) if number % 2 else example


def another_question(_: int, example: Example) -> Example:
    """The row under its own id, with a question that stands nowhere else."""
    return replace(example, question=f"{example.question[::-1]}?")
