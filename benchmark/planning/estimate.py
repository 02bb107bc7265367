"""Estimates a cell's time before it is run, from finished cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmark.cell.cell import Cell
from benchmark.cell.identity import identity, precision_in
from benchmark.cell.round_steps import planned_steps
from benchmark.cell.sources import student_download
from benchmark.planning.amounts import UNKNOWN, Estimate
from benchmark.planning.student_work import StudentWork
from benchmark.records.catalog import complete_records
from benchmark.records.schema import CompleteRecord

SHARE_OF_FORWARD_PASS = 1 / 3
"""Time to score a text, in that of training on it: forward without backward."""


@dataclass(frozen=True)
class Timing:
    """The times in the record of a finished cell."""

    method: str
    identity: Mapping[str, Any]
    """What `benchmark.cell.identity.identity` returned for the cell."""
    seconds: float
    """Wall-clock time of the whole cell."""
    steps: int
    """Optimiser steps."""
    training_seconds: float
    """Time of these steps."""
    seconds_per_answer: float
    """Seconds per test answer."""

    @property
    def seconds_per_trained_example(self) -> float:
        """Training seconds per example: per optimiser step and group of its batch."""
        return self.training_seconds / (self.steps * int(self.identity["optimization"]["batch_size"]))


def timings(results: Path) -> list[Timing]:
    """The times of all complete records in a results folder; records without times are left out."""
    return [timing for record in complete_records(results) if (timing := _timing(record)) is not None]


def _timing(record: CompleteRecord) -> Timing | None:
    seconds, seconds_per_answer = record.seconds, record.test[0].seconds_per_answer
    if seconds is None or seconds_per_answer is None:
        return None
    train = record.train
    steps, training_seconds = train.optimiser_steps, train.seconds
    return Timing(record.method, record.identity, seconds, steps, training_seconds, seconds_per_answer)


def expected_seconds(cell: Cell, known: Sequence[Timing], work: StudentWork | None = None) -> Estimate:
    """Seconds that the cell would take, from finished cells of the same student; unknown if there is none.

    The estimate is the median over cells with the same work (method, dataset, evaluation, steps, batch size,
    precision), with any seed or budget. Without such a cell, median times of the student's other cells are scaled:
    training time per example x batch size x steps of all rounds, plus time per test answer x (test answers, samples
    included, and validation questions), plus time of what parts ask the student (`student_work`). The scaled estimate
    leaves out the time of a live teacher and of data policies.
    """
    if student_download(cell) is not None:
        return UNKNOWN  # a student that is not downloaded has no identity to compare
    who = identity(cell)
    same = [each for each in known if each.method == cell.method.name and _work(each.identity) == _work(who)]
    if same:
        return Estimate(median(each.seconds for each in same))
    return _scaled(cell, [each for each in known if _student(each.identity) == _student(who)], work or StudentWork())


def _work(who: Mapping[str, Any]) -> tuple[Any, ...]:
    """The entries of an identity that decide how much work the cell is."""
    optimization = who.get("optimization") or {}
    sizes = (optimization.get("max_steps"), optimization.get("batch_size"))
    return (*_student(who), who.get("dataset"), who.get("evaluation"), *sizes)


def _student(who: Mapping[str, Any]) -> tuple[Any, Any]:
    """The student and the precision in an identity."""
    return who.get("student"), precision_in(who)


def _scaled(cell: Cell, known: Sequence[Timing], work: StudentWork) -> Estimate:
    """Seconds of training and evaluation, scaled from other cells of the student; `expected_seconds` says how."""
    steps = planned_steps(cell.method.schedule, cell.optimization.max_steps)
    judges = [each for each in known if each.steps] if steps is None or steps.total else known
    if steps is None or not judges:
        return UNKNOWN
    splits = cell.dataset.load()
    validation = len(splits.validation[: cell.evaluation.validation_size])
    tests = [splits.test, *(extra.load().test for extra in cell.extra_datasets)]
    answers = sum(map(len, tests)) + len(splits.test) * cell.evaluation.samples
    answers += len(steps.of_rounds) * validation
    seconds = (answers + work.written) * median(each.seconds_per_answer for each in judges)
    if steps.total:
        examples = steps.total * cell.optimization.batch_size + work.scored * SHARE_OF_FORWARD_PASS
        seconds += examples * median(each.seconds_per_trained_example for each in judges)
    return Estimate(seconds, unknown=bool(work.unknown))
