"""Reads `<results>/<cell_id>/record.json` into cells; what cannot be used is named, never dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.records.machines import Machine, machine_of
from analysis.records.settings import Settings, settings_of
from benchmark.records.schema import (
    BudgetLimits,
    Calibration,
    CellNames,
    CompleteRecord,
    FailedRecord,
    LabelPrecision,
    LedgerEntry,
    Provenance,
    Record,
    RecordError,
    RoundRecord,
    TeacherReference,
    TeacherReplies,
    TeacherTraffic,
    TestScore,
    TrainingRecord,
    read_record,
)

UNTRAINED_METHOD = "untrained"
WHAT_TO_RUN = "run `python -m benchmark -m method=...` first, or name another --results"


class ResultsError(Exception):
    """There is nothing to read; the message is one line and says what to run."""


@dataclass(frozen=True)
class Problem:
    """A file that was skipped, and why."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class FailedCell:
    """A cell that was tried and did not finish; `error` is one line."""

    names: CellNames
    error: str


@dataclass(frozen=True)
class FinishedCell:
    """A finished cell, reduced to what tables need."""

    folder: Path
    """Where its record and its tables are."""
    names: CellNames
    """Its id, method, dataset, student, teacher and seed."""
    data_seed: int
    """The seed of the purchases."""
    budget: BudgetLimits
    """The limits of its purchases."""
    settings: Settings
    """What must be equal before cells are averaged."""
    uses_gold: bool
    """Whether the method read gold answers before training."""
    cost_estimated: bool
    """Whether some tokens were estimated."""
    charged: Mapping[str, LedgerEntry]
    """By source (teacher, human, ...): what the whole cell was charged."""
    spent: Mapping[str, LedgerEntry]
    """By source: what was really paid for the whole cell."""
    train: TrainingRecord
    """Steps, tokens and time of training; `final_student_steps` is None in older records."""
    tests: tuple[TestScore, ...]
    """The cell's own test set first."""
    teacher_reference: TeacherReference | None
    """The teacher's own score; None where it was not measured."""
    machine: Machine
    """What the cell ran on."""
    commit: str | None
    """The commit of the code, with `+` behind it where files were changed; None where the record does not tell."""
    labels: LabelPrecision | None
    """What the bought answers were worth; None where the record does not tell."""
    judge: Calibration | None
    """What the confidence behind the weights was worth; None where weights rest on none."""
    seconds: float | None = None
    """The whole cell's time in the process that finished it; None in older records."""
    rounds: tuple[RoundRecord, ...] = ()
    """The finished rounds, in order."""
    seconds_by_phase: Mapping[str, float] = field(default_factory=dict)
    """By phase: seconds on the clock; empty in older records."""
    counters: Mapping[str, float] = field(default_factory=dict)
    """What was cut, dropped, left out or could not be read, by name."""
    teacher_replies: Mapping[str, TeacherReplies] = field(default_factory=dict)
    """By teacher: what came of its replies; empty in older records and where none was asked."""
    teacher_traffic: Mapping[str, TeacherTraffic] = field(default_factory=dict)
    """By live teacher: what went to its server."""
    provenance: Provenance = field(default_factory=Provenance)
    """Code, versions, machine, command and time; `machine` and `commit` are read from it."""


@dataclass(frozen=True)
class Records:
    """Everything found under the results folders: folder by folder, and in each one in the order of the cell ids."""

    folders: tuple[Path, ...] = ()
    """The results folders that were read."""
    complete: tuple[FinishedCell, ...] = ()
    """The finished cells, each once."""
    failed: tuple[FailedCell, ...] = ()
    """The cells that were tried and did not finish."""
    problems: tuple[Problem, ...] = ()
    """The files that were skipped."""
    unfinished: tuple[Path, ...] = ()
    """Folders of cells without a record (running now, or cut off)."""

    @property
    def names(self) -> list[CellNames]:
        """The names of all readable cells, complete and failed."""
        return [cell.names for cell in self.complete] + [cell.names for cell in self.failed]

    @property
    def cell_ids(self) -> list[str]:
        """Their ids."""
        return [names.cell_id for names in self.names]


def load_records(*results: Path) -> Records:
    """All records under the results folders; damaged ones are in `problems`.

    A cell that finished in two folders with the same results counts once; one that failed in one folder and finished in
    another is finished.

    Raises:
        ResultsError: one of `results` is not a folder, or one cell has different results in two of them.
    """
    complete: dict[str, FinishedCell] = {}
    failed: dict[str, FailedCell] = {}
    problems: list[Problem] = []
    unfinished: list[Path] = []
    for folder in (cell for each in dict.fromkeys(results) for cell in cell_folders(each)):
        path = folder / "record.json"
        if not path.exists():
            unfinished.append(folder)
            continue
        try:
            record = _record_of(folder)
        except RecordError as error:
            problems.append(Problem(path, str(error)))
            continue
        if isinstance(record, FailedRecord):
            failed[record.cell_id] = _failed_cell(record)
            continue
        cell = _finished_cell(folder, record)
        require_same_results(complete.setdefault(record.cell_id, cell), cell)
    left = tuple(cell for cell_id, cell in failed.items() if cell_id not in complete)
    return Records(tuple(dict.fromkeys(results)), tuple(complete.values()), left, tuple(problems), tuple(unfinished))


def require_same_results(one: FinishedCell, other: FinishedCell) -> None:
    """Raises ResultsError, which names both folders, if one cell has two different results.

    Its scores, rounds and costs count; what time it took and on which machine does not.
    """
    if one is other:
        return
    for what, first, second in zip(RESULTS, _results(one), _results(other), strict=True):
        if first != second:
            raise ResultsError(
                f"{one.folder} and {other.folder} are one cell, with different {what} "
                f"({_first_difference(first, second)}): leave one of the two results folders out"
            )


RESULTS = ("test scores", "rounds")


def _results(cell: FinishedCell) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What must be equal in two copies of a cell: all that is no time and depends on no store."""
    tests = [_rounded(test.model_dump(exclude=set(test.TIMES))) for test in cell.tests]
    return tests, [_rounded(log.model_dump(include={"annotated", "charged", "validation"})) for log in cell.rounds]


def _rounded(values: Any) -> Any:
    """The values with numbers of six decimals: processors differ in the last bits."""
    if isinstance(values, dict):
        return {name: _rounded(value) for name, value in values.items()}
    return round(values, 6) if isinstance(values, float) else values


def _first_difference(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str:
    if len(one) != len(other):
        return f"{len(one)} against {len(other)}"
    pairs = [(name, a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a if a[name] != b[name]]
    name, first, second = pairs[0]
    return f"{name}: {first} against {second}"


def cell_folders(results: Path) -> list[Path]:
    """The folders of cells in a fixed order; a name that starts with a dot is no cell.

    Raises:
        ResultsError: `results` is not a folder.
    """
    if not results.is_dir():
        raise ResultsError(f"{results} is not a folder: {WHAT_TO_RUN}")
    return sorted(path for path in results.iterdir() if path.is_dir() and not path.name.startswith("."))


def _record_of(folder: Path) -> Record:
    """The record in a cell's folder.

    Raises:
        RecordError: it cannot be used, or is that of another cell.
    """
    record = read_record(folder / "record.json")
    if record.cell_id != folder.name:
        raise RecordError(f"has cell_id {record.cell_id!r} but lies in the folder {folder.name!r}: a copy?")
    return record


def _finished_cell(folder: Path, record: CompleteRecord) -> FinishedCell:
    return FinishedCell(
        folder=folder,
        names=record.names,
        data_seed=record.data_seed,
        budget=record.budget,
        settings=settings_of(record.identity),
        uses_gold=record.uses_gold,
        cost_estimated=record.cost_estimated,
        charged=record.charged,
        spent=record.spent,
        train=record.train,
        tests=record.test,
        teacher_reference=record.teacher_reference,
        machine=machine_of(record.provenance),
        commit=_commit(record.provenance),
        labels=record.label_precision,
        judge=record.weight_calibration,
        seconds=record.seconds,
        rounds=tuple(record.rounds),
        seconds_by_phase=record.seconds_by_phase,
        counters=record.counters,
        teacher_replies=record.teacher_replies,
        teacher_traffic=record.teacher_traffic,
        provenance=record.provenance,
    )


def _commit(provenance: Provenance) -> str | None:
    if provenance.git is None or provenance.git.commit is None:
        return None
    return provenance.git.commit[:12] + ("+" if provenance.git.dirty else "")


def _failed_cell(record: FailedRecord) -> FailedCell:
    return FailedCell(record.names, " ".join((record.error or "").split()) or "no error text in the record")


def places(records: Records) -> str:
    """The results folders as text for a message."""
    return ", ".join(map(str, records.folders))
