"""`python -m benchmark explain`: students of finished cells explain test questions, long after the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from benchmark.config import build, count_of
from benchmark.console.progress import Bars, Display
from benchmark.contract import ExplainingFormat, Format
from benchmark.errors import ConfigError
from benchmark.evaluation.explanations import explain, rouge_warning
from benchmark.records.catalog import EXPLANATIONS, finished_record
from benchmark.records.journal import replace_file
from benchmark.records.schema import CompleteRecord
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.settings import Precision, TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.tasks.dataset import Dataset, tested_examples
from benchmark.types import Example, Prediction

HOW = "python -m benchmark explain RESULTS/CELL [RESULTS/CELL ...] [questions=N] [batch_size=N]"


@dataclass(frozen=True)
class FinishedCell:
    """A finished cell, as far as its student can explain its answers."""

    folder: Path
    """The cell's folder."""
    record: CompleteRecord
    """Its record."""
    form: ExplainingFormat
    """Its format."""
    dataset: Dataset
    """Its dataset."""

    @classmethod
    def of(cls, folder: Path) -> FinishedCell:
        """Reads a cell's folder. Raises ConfigError for a folder without a finished cell that can explain."""
        record = finished_record(folder)
        config = record.config
        form = build(config["format"], "format", Format)
        if not isinstance(form, ExplainingFormat):
            raise ConfigError(f"{folder}: format {type(form).__name__} has no `explanation_path`: nothing to ask for")
        if not (folder / "student").is_dir():
            raise ConfigError(f"{folder} has no student: it was run with trainer.save_student=false, or trains nothing")
        return cls(folder, record, form, build(config["dataset"], "dataset", Dataset))

    def predictions(self) -> list[Prediction]:
        """The student's answers in the test."""
        names = [field.name for field in fields(Prediction)]
        rows = pd.read_parquet(self.folder / "predictions.parquet")
        return [Prediction(**_plain(row, names)) for row in rows.to_dict("records")]

    def examples(self, predictions: Sequence[Prediction]) -> list[Example]:
        """The test questions of the predictions. Raises DataError if the dataset has lost one of them."""
        return tested_examples(self.dataset, [each.example_id for each in predictions], self.folder)


def explain_finished(arguments: Sequence[str], display: Display | None = None) -> int:
    """Writes `explanations.parquet` into each cell's folder that has none; returns the exit status 0.

    Args:
        arguments: folders of finished cells; `questions=N` takes the first N test questions, `batch_size=N` so many
            rows at once.
        display: shows progress; the default shows bars.

    Raises:
        ConfigError: for a wrong argument, or a folder without a finished cell whose student can explain.
        DataError: if the dataset is not there any more as it was.
    """
    folders, settings = _read(arguments)
    cells = [FinishedCell.of(folder) for folder in folders]  # a wrong one is found before any work
    shown = display or Bars()
    keep_freed_memory()
    for cell in cells:
        _explain(cell, settings, shown)
    return 0


def _read(arguments: Sequence[str]) -> tuple[list[Path], Mapping[str, int]]:
    settings: dict[str, int] = {}
    for argument in (each for each in arguments if "=" in each):
        name, _, value = argument.partition("=")
        if name not in ("questions", "batch_size"):
            raise ConfigError(f"{name}: there is no such setting; {HOW}")
        settings[name] = count_of(name, value)
    folders = [Path(each).expanduser() for each in arguments if "=" not in each]
    if not folders:
        raise ConfigError(f"no cell is given: {HOW}")
    return folders, settings


def _explain(cell: FinishedCell, settings: Mapping[str, int], display: Display) -> None:
    place = cell.folder / EXPLANATIONS
    lock = cell.folder.parent / ".locks" / f"{cell.folder.name}.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):
        if place.exists():
            display.say(f"{place} is there already, and stays as it is")
            return
        predictions = cell.predictions()[: settings.get("questions")]
        examples = cell.examples(predictions)
        if line := rouge_warning(examples):
            display.say(line)
        student = _student(cell, settings.get("batch_size"))
        turns = len(examples) * len(cell.form.explanation_path)
        with display.bar(f"explaining test questions, {cell.folder.name}", turns) as advance:
            longest = cell.record.config["evaluation"]["max_new_tokens"]
            found = explain(student, examples, predictions, cell.form, cell.dataset.task, longest, advance)
        frame = pd.DataFrame([asdict(each) for each in found])
        replace_file(place, lambda path: frame.to_parquet(path, index=False))
        display.say(f"{len(found)} explanations -> {place}")


def _student(cell: FinishedCell, batch_size: int | None) -> Any:
    config = cell.record.config
    own, trainer = config["student"], config["trainer"]
    source = PretrainedStudent(
        own["name"], str(cell.folder / "student"), own["max_length"], own["max_new_tokens"], overlong="truncate"
    )
    settings = TrainerSettings(
        accelerator=trainer["accelerator"], evaluation_batch_size=batch_size or trainer["evaluation_batch_size"]
    )
    precision: Precision = config["optimization"]["precision"]
    return load_student(source, cell.record.seed, settings, precision)


def _plain(row: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row of Parquet with None for what is missing there."""
    return {name: None if _is_missing(row[name]) else row[name] for name in names}


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
