"""What a record says of a cell's rounds, costs, training and test."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmark.cell.cell import Cell
from benchmark.evaluation.accuracy import Evaluation
from benchmark.evaluation.extra import ExtraTest
from benchmark.evaluation.reasoning import reasoning_accuracy, right_answer_wrong_reasoning
from benchmark.evaluation.sampling import SampledAnswers
from benchmark.running.resumable_state import ResumableState
from benchmark.student.fit import FitReport
from benchmark.teachers.ledger import as_numbers
from benchmark.types import RoundLog


def result(
    cell: Cell,
    state: ResumableState,
    test: Evaluation,
    samples: SampledAnswers | None,
    extra: Sequence[ExtraTest],
    reference: dict[str, Any] | None,
    traffic: dict[str, Any],
    cost_is_estimated: bool,
) -> dict[str, Any]:
    """Plain data. `reference` is the teacher's own score on the test questions, where it was measured.

    `traffic` is what went to the servers of live teachers, by teacher; the record leaves it out where there is none.
    `cost_is_estimated` where the ledger holds tokens that nobody counted.
    """
    return {
        "uses_gold": cell.method.requires().gold,
        "rounds": [_round_row(log) for log in state.history],
        "cost_estimated": cost_is_estimated,
        "test": [_test_row(cell.dataset.name, test, samples), *map(_extra_row, extra)],
        "teacher_reference": reference,
        **({"teacher_traffic": traffic} if traffic else {}),
        "train": _train_row(state.fits),
        "counters": dict(sorted({**state.counters, **_cuts(state)}.items())),
    }


def _extra_row(extra: ExtraTest) -> dict[str, Any]:
    return {**_test_row(extra.dataset, extra.evaluation, None), "questions_seen_in_pool": extra.questions_seen_in_pool}


def _test_row(dataset: str, test: Evaluation, samples: SampledAnswers | None) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "metric": test.metric,
        "value": test.value,
        "flexible_value": test.flexible_accuracy if test.metric == "accuracy" else None,
        "answers_by": test.answers_by,
        "majority_at": None if samples is None else samples.majority_at,
        "pass_at": None if samples is None else samples.pass_at,
        "reasoning_accuracy": reasoning_accuracy(test.predictions),
        "right_answer_wrong_reasoning": right_answer_wrong_reasoning(test.predictions),
        "n": len(test.predictions),
        "truncated_answers": test.truncated_answers,
        "completion_tokens_per_answer": test.completion_tokens_per_answer,
        "seconds_per_answer": test.seconds / len(test.predictions),
    }


def _cuts(state: ResumableState) -> Counter[str]:
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
