"""Reads `<results>/<cell_id>/record.json` into cells; what cannot be used is named, never dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    Record,
    RecordError,
    RoundRecord,
    TeacherReference,
    TestScore,
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
    """A finished cell, reduced to what tables need.

    `settings` are those that must be equal before cells are averaged. `charged` and `spent` hold the whole cell's cost
    by source (teacher, human, ...). `student_steps` are the optimiser steps behind the tested weights, None in older
    records; `all_steps` count all rounds. `labels` and `judge` say what the bought answers and the confidence behind
    their weights were worth; None where the record does not. `rounds` are the finished rounds, in order.
    """

    names: CellNames
    data_seed: int
    budget: BudgetLimits
    settings: Settings
    uses_gold: bool
    cost_estimated: bool
    charged: Mapping[str, LedgerEntry]
    spent: Mapping[str, LedgerEntry]
    student_steps: int | None
    all_steps: int
    tests: tuple[TestScore, ...]
    teacher_reference: TeacherReference | None
    machine: Machine
    labels: LabelPrecision | None
    judge: Calibration | None
    rounds: tuple[RoundRecord, ...] = ()


@dataclass(frozen=True)
class Records:
    """Everything found under one results folder, in the order of the cell ids.

    `unfinished` are cell folders without a record (running now, or cut off).
    """

    complete: tuple[FinishedCell, ...] = ()
    failed: tuple[FailedCell, ...] = ()
    problems: tuple[Problem, ...] = ()
    unfinished: tuple[Path, ...] = ()

    @property
    def names(self) -> list[CellNames]:
        """The names of all readable cells, complete and failed."""
        return [cell.names for cell in self.complete] + [cell.names for cell in self.failed]

    @property
    def cell_ids(self) -> list[str]:
        """Their ids."""
        return [names.cell_id for names in self.names]


def load_records(results: Path) -> Records:
    """All records under `results`; damaged ones are in `problems`.

    Raises:
        ResultsError: `results` is not a folder.
    """
    complete: list[FinishedCell] = []
    failed: list[FailedCell] = []
    problems: list[Problem] = []
    unfinished: list[Path] = []
    for folder in cell_folders(results):
        path = folder / "record.json"
        if not path.exists():
            unfinished.append(folder)
            continue
        try:
            record = _record_of(folder)
        except RecordError as error:
            problems.append(Problem(path, str(error)))
            continue
        if isinstance(record, CompleteRecord):
            complete.append(_finished_cell(record))
        else:
            failed.append(_failed_cell(record))
    return Records(tuple(complete), tuple(failed), tuple(problems), tuple(unfinished))


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


def _finished_cell(record: CompleteRecord) -> FinishedCell:
    return FinishedCell(
        names=record.names,
        data_seed=record.data_seed,
        budget=record.budget,
        settings=settings_of(record.identity),
        uses_gold=record.uses_gold,
        cost_estimated=record.cost_estimated,
        charged=record.charged,
        spent=record.spent,
        student_steps=record.train.final_student_steps,
        all_steps=record.train.optimiser_steps,
        tests=record.test,
        teacher_reference=record.teacher_reference,
        machine=machine_of(record.provenance),
        rounds=tuple(record.rounds),
        labels=record.label_precision,
        judge=record.weight_calibration,
    )


def _failed_cell(record: FailedRecord) -> FailedCell:
    return FailedCell(record.names, " ".join((record.error or "").split()) or "no error text in the record")
