"""What a record says of a cell's rounds, costs, training and test."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmark.cell import Cell
from benchmark.evaluation.accuracy import Evaluation
from benchmark.state import CellState
from benchmark.student.fit import FitReport
from benchmark.teachers.ledger import as_numbers
from benchmark.types import RoundLog


def result(cell: Cell, state: CellState, test: Evaluation, reference: dict[str, Any] | None) -> dict[str, Any]:
    """Plain data. `reference` is the teacher's own score on the test questions, where it was measured."""
    return {
        "uses_gold": cell.method.requires().gold,
        "rounds": [_round_row(log) for log in state.history],
        "cost_estimated": cell.asks_teacher and any(t.token_counts_are_estimated for t in cell.teachers.values()),
        "test": [_test_row(cell, test)],
        "teacher_reference": reference,
        "train": _train_row(state.fits),
        "counters": dict(sorted({**state.counters, **_cuts(state)}.items())),
    }


def _test_row(cell: Cell, test: Evaluation) -> dict[str, Any]:
    return {
        "dataset": cell.dataset.name,
        "metric": test.metric,
        "value": test.value,
        "flexible_value": test.flexible_accuracy if test.metric == "accuracy" else None,
        "n": len(test.predictions),
        "completion_tokens_per_answer": test.completion_tokens_per_answer,
        "seconds_per_answer": test.seconds / len(test.predictions),
    }


def _cuts(state: CellState) -> Counter[str]:
    """What had to be cut, the student's under its plain name."""
    cuts: Counter[str] = Counter()
    for name, model in state.models.local.items():
        prefix = "" if model is state.models.student else f"{name}_"
        cuts.update({f"{prefix}{what}": count for what, count in model.counters.items()})
    return cuts


def _round_row(log: RoundLog) -> dict[str, Any]:
    return {
        "index": log.round.index,
        "annotated": log.annotated,
        "charged": as_numbers(log.charged),
        "spent": as_numbers(log.spent),
        "computed": as_numbers(log.computed),
        "validation": dict(log.validation),
        "notes": dict(log.notes),
    }


def _train_row(fits: Sequence[FitReport]) -> dict[str, float]:
    names = [f.name for f in dataclasses.fields(FitReport) if f.name != "truncated_examples"]
    return {name: sum(getattr(report, name) for report in fits) for name in names}
