"""A miniature cell of any method on any dataset, run under watch: what it left behind, whom it asked, what it opened.

The watchers stand around the dataset and the teacher, outside of the engine's own counters, so that a mistake in those
cannot hide itself.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from benchmark.app import CONF
from benchmark.cell.cell import Cell
from benchmark.cell.context import PartContext
from benchmark.contract import Task
from benchmark.corridor import CellRun
from benchmark.records.journal import Journal
from benchmark.records.record import CellFolder
from benchmark.running.isolation import isolated
from benchmark.student.module import StudentModule
from benchmark.student.student import Student
from benchmark.tasks.dataset import Dataset, Exemplar, Splits, TestSplit
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price, Teacher
from benchmark.types import Example, PlannedRequest, Reply, Request, Span, TrainingExample, Usage
from tests.cells import SMALLEST_STUDENT, Silent
from tests.corridor.corridor_parts import Killed, Ran, fingerprint

QUESTIONS = 12
"""The budget in questions: half of the pool, so that selections and schedules have something to decide."""
RECORDED = "svamp"
"""JSON lines with a recorded teacher, without human rationales: what a method that needs them must refuse."""


def presets() -> tuple[str, ...]:
    """Every method on disk, those of the future included."""
    return tuple(sorted(path.stem for path in (CONF / "method").glob("*.yaml")))


def generated_datasets() -> tuple[str, ...]:
    """Every dataset on disk that a module generates."""
    files = sorted((CONF / "dataset").glob("*.yaml"))
    return tuple(path.stem for path in files if "generator" in yaml.safe_load(path.read_text(encoding="utf-8")))


PAIRS = tuple((method, dataset) for method in presets() for dataset in (*generated_datasets(), RECORDED))
GENERATED = ("dataset.pool_size=24", "dataset.test_size=6")
SMALL = (
    "dataset.validation_size=4",
    f"budget.questions={QUESTIONS}",
    "optimization.max_steps=8",
    "optimization.batch_size=4",
    "optimization.warmup_fraction=0",
    *SMALLEST_STUDENT,
    "student.max_new_tokens=12",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.save_student=false",
)


# --- the watchers ----------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """What was seen from outside while a cell ran."""

    replies: list[tuple[Request, int]] = field(default_factory=list)
    """(request, number of the sample) of every reply that the teacher gave before the test split was opened."""
    random_purchases: int = 0
    """How often an annotator drew from `data_seed`."""
    state_at_opening: list[tuple[str, int]] = field(default_factory=list)
    """(weights, number of annotations) whenever the test split's seal was broken."""
    state: Callable[[], tuple[str, int]] = lambda: ("", 0)


class WatchedTestSplit(TestSplit):
    """Tells when its seal is broken."""

    def __init__(self, examples: Sequence[Example], watch: Watch) -> None:
        super().__init__(examples)
        self._watch = watch

    def unseal(self) -> None:
        self._watch.state_at_opening.append(self._watch.state())
        super().unseal()


Change = Callable[[int, Example], Example]


def unchanged(_: int, example: Example) -> Example:
    return example


@dataclass(frozen=True)
class WatchedDataset:
    """A dataset with changed rows and a watched test split; it offers the protocol and none of the dataset's extras."""

    real: Dataset
    watch: Watch
    pool: Change = unchanged
    test: Change = unchanged

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def task(self) -> Task:
        return self.real.task

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        return self.real.exemplars

    def load(self) -> Splits:
        splits = self.real.load()
        splits.test.unseal()  # of this copy, which nobody else sees
        pool = tuple(self.pool(i, row) for i, row in enumerate(splits.pool))
        test = tuple(self.test(i, row) for i, row in enumerate(splits.test.open()))
        return Splits(pool, splits.validation, WatchedTestSplit(test, self.watch))

    def fingerprint(self) -> str:
        return self.real.fingerprint()


@dataclass(frozen=True)
class WatchedTeacher:
    """Writes down every reply. It reads the real dataset: what a test changes for the method, it does not notice."""

    real: Teacher
    dataset: Dataset
    watch: Watch

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def price(self) -> Price:
        return self.real.price

    @property
    def roles(self) -> Any:
        return self.real.roles

    @property
    def stored(self) -> bool:
        return self.real.stored

    @property
    def capabilities(self) -> Capabilities:
        return self.real.capabilities

    @property
    def concurrency(self) -> int:
        return self.real.concurrency

    def open(self, dataset: Dataset) -> OpenTeacher:
        return WatchedReplies(self.real.open(self.dataset), self.watch)

    def fingerprint(self, dataset: Dataset) -> str:
        return self.real.fingerprint(self.dataset)


@dataclass(frozen=True)
class WatchedReplies:
    real: OpenTeacher
    watch: Watch

    def covers(self, question_id: str) -> bool:
        return self.real.covers(question_id)

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        return self.real.most(request, held_tokens)

    async def reply(self, request: Request, samples: int) -> list[Reply]:
        replies = await self.real.reply(request, samples)
        if not self.watch.state_at_opening:  # afterwards only its own accuracy is measured
            self.watch.replies += [(request, sample) for sample in range(len(replies))]
        return replies


@contextmanager
def _counting_random_purchases(watch: Watch) -> Iterator[None]:
    real = PartContext.data_rng

    def counted(context: PartContext, *key: str | int) -> Any:
        watch.random_purchases += context.axis == "annotation"
        return real(context, *key)

    with mock.patch.object(PartContext, "data_rng", counted):
        yield


# --- what a cell leaves behind ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traces:
    """Everything that must be equal where two cells must be: plain values, so that another process can send them."""

    weights: str
    predictions: list[str]
    annotations: list[dict[str, Any]]
    log_probabilities: list[list[float]]
    """Of gold answers to the validation questions: these move where the texts of so small a student do not."""

    def unlike(self, other: Traces) -> set[str]:
        """The names of what differs."""
        return {name for name in vars(self) if getattr(self, name) != getattr(other, name)}


@dataclass(frozen=True)
class Observed:
    """A finished cell."""

    cell: Cell
    traces: Traces
    result: Mapping[str, Any]
    watch: Watch

    @property
    def charged(self) -> Mapping[str, Mapping[str, float]]:
        """The ledger's entries at the end."""
        entries: Mapping[str, Mapping[str, float]] = (
            self.result["rounds"][-1]["charged"] if self.result["rounds"] else {}
        )
        return entries

    def bought(self) -> set[str]:
        """The ids of the questions that something was written about."""
        return {row["question_id"] for row in self.traces.annotations}


def observe(cell: Cell, pool: Change = unchanged, test: Change = unchanged) -> Observed:
    """Runs a cell with watchers around its dataset and its teacher, and with the rows changed that the method sees."""
    watch = Watch()
    watched = replace(
        cell,
        dataset=WatchedDataset(cell.dataset, watch, pool, test),
        teacher=WatchedTeacher(cell.teacher, cell.dataset, watch),
    )
    with _counting_random_purchases(watch), tempfile.TemporaryDirectory() as folder:
        return _finished(watched, watch, Path(folder))


def observe_after_death(cell: Cell, at_step: int) -> Observed:
    """Runs a cell that dies in that optimiser step, all rounds counted together, and then runs it again."""
    watch = Watch()
    watched = replace(
        cell,
        dataset=WatchedDataset(cell.dataset, watch),
        teacher=WatchedTeacher(cell.teacher, cell.dataset, watch),
        trainer=replace(cell.trainer, checkpoint_minutes=0),
    )
    with tempfile.TemporaryDirectory() as folder:
        with _dying_at_step(at_step), contextlib.suppress(Killed):
            _finished(watched, watch, Path(folder))
        return _finished(watched, watch, Path(folder))


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


def observe_bare(cell: Cell) -> Observed:
    """Runs a cell as it is."""
    with tempfile.TemporaryDirectory() as folder:
        return _finished(cell, Watch(), Path(folder))


def _finished(cell: Cell, watch: Watch, folder: Path) -> Observed:
    with isolated():
        place = CellFolder(folder, "cell")
        experiment = CellRun(cell, place, Journal.open(folder, "cell", print), Silent())
        watch.state = lambda: (fingerprint(experiment.student), len(experiment.state.annotations))
        ran = Ran(experiment, experiment.run().as_json(), place.path)
        student = experiment.student
        traces = Traces(
            weights=fingerprint(student),
            predictions=[row["text"] for row in ran.table("predictions")],
            annotations=ran.table("annotations"),
            log_probabilities=_log_probabilities(student, cell),
        )
        return Observed(cell, traces, ran.result, watch)


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
