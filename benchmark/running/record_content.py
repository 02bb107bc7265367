"""What a record says of a cell's rounds, costs, training and test."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from benchmark.buying.meter import Meter
from benchmark.cell.cell import Cell
from benchmark.cell.round_steps import final_student_steps
from benchmark.evaluation.accuracy import Evaluation
from benchmark.evaluation.extra import ExtraTest
from benchmark.evaluation.leaks import Leaks
from benchmark.evaluation.reasoning import reasoning_accuracy, right_answer_wrong_reasoning
from benchmark.evaluation.sampling import SampledAnswers
from benchmark.records.schema import (
    CellResult,
    LedgerEntry,
    Outcomes,
    RoundRecord,
    ScoreErrorCorrelation,
    TeacherReference,
    TeacherReplies,
    TeacherTraffic,
    TestScore,
    TextOverlap,
    TrainingRecord,
)
from benchmark.records.schema_errors import in_one_line
from benchmark.running.after_the_test import AfterTheTest
from benchmark.running.resumable_state import ResumableState
from benchmark.student.fit import FitReport
from benchmark.types import Prediction, RoundLog, Usage


@contextmanager
def _naming_what_is_refused() -> Iterator[None]:
    """Turns the schema's refusal of a value into a ValueError of one line that names the value."""
    try:
        yield
    except ValidationError as error:
        raise ValueError(f"the record cannot hold {in_one_line(error)}") from error


@_naming_what_is_refused()
def result(
    cell: Cell,
    state: ResumableState,
    test: Evaluation,
    leaks: Leaks,
    samples: SampledAnswers | None,
    extra: Sequence[ExtraTest],
    reference: dict[str, Any] | None,
    traffic: dict[str, Any],
    meter: Meter,
    after: AfterTheTest,
) -> CellResult:
    """What the corridor found out, for the record.

    Args:
        cell: The cell that ran.
        state: Its rounds, fits and counters.
        test: The student on the cell's own test split.
        leaks: What of these test questions stands in the pool and in what was bought.
        samples: Several answers to each test question; None where none were drawn.
        extra: The student on each further test set.
        reference: The teacher's own score on the test questions; None where it was not measured.
        traffic: What went to the servers of live teachers, by teacher; the record leaves it out where there is none.
        meter: What it asked its teachers: what came of the replies, and whether their tokens were estimated.
        after: What was measured after the test; the record leaves out what is None.

    Raises:
        ValueError: a value is nothing that a record can hold, such as a note that is NaN; the message names it.
    """
    optional: dict[str, Any] = {}
    if counts := meter.reply_counts:
        optional["teacher_replies"] = {name: TeacherReplies(**vars(each)) for name, each in counts.items()}
    if traffic:
        optional["teacher_traffic"] = {name: TeacherTraffic(**each) for name, each in traffic.items()}
    whole = {"label_precision": after.labels, "weight_calibration": after.weights}
    whole["selection_calibration"] = after.selection
    optional |= {name: value for name, value in whole.items() if value is not None}
    own = _test_score(cell.dataset.name, test, leaks, samples)
    if after.faithfulness is not None:
        own = own.model_copy(update={"faithfulness": after.faithfulness})
    return CellResult(
        uses_gold=cell.needs.gold,
        rounds=tuple(round_record(log, after.correlations.get(log.round.index)) for log in state.history),
        cost_estimated=meter.is_estimated,
        test=(own, *map(_extra_score, extra)),
        teacher_reference=None if reference is None else TeacherReference(**reference),
        **optional,
        train=_training(state.fits, state.history),
        seconds_by_phase=dict(sorted(state.clock.totals().items())),
        counters=dict(sorted({**state.counters, **_cuts(state)}.items())),
    )


def _extra_score(extra: ExtraTest) -> TestScore:
    score = _test_score(extra.dataset, extra.evaluation, extra.leaks, None)
    return score.model_copy(update={"questions_seen_in_pool": extra.leaks.learnt.exact})


def _test_score(dataset: str, test: Evaluation, leaks: Leaks, samples: SampledAnswers | None) -> TestScore:
    return TestScore(
        dataset=dataset,
        metric=test.metric,
        value=test.value,
        flexible_value=test.flexible_accuracy if test.metric == "accuracy" else None,
        answers_by=test.answers_by,
        majority_at=None if samples is None else samples.majority_at,
        pass_at=None if samples is None else samples.pass_at,
        reasoning_accuracy=reasoning_accuracy(test.predictions),
        right_answer_wrong_reasoning=right_answer_wrong_reasoning(test.predictions),
        n=len(test.predictions),
        truncated_answers=test.truncated_answers,
        outcomes=_outcomes(test.predictions),
        completion_tokens_per_answer=test.completion_tokens_per_answer,
        seconds_per_answer=test.seconds / len(test.predictions),
        latency_p50_seconds=test.latency_seconds(50),
        latency_p95_seconds=test.latency_seconds(95),
        pool_overlap=TextOverlap(**vars(leaks.pool)),
        learnt_overlap=TextOverlap(**vars(leaks.learnt)),
    )


def _outcomes(predictions: Sequence[Prediction]) -> Outcomes | None:
    """The count of each outcome; None where answers are graded and have none."""
    counts = Counter(prediction.outcome for prediction in predictions)
    return None if None in counts else Outcomes(**{name: counts[name] for name in Outcomes.model_fields})


def _cuts(state: ResumableState) -> Counter[str]:
    """What had to be cut, the student's under its plain name."""
    cuts: Counter[str] = Counter()
    for name, model in state.models.counted.items():
        prefix = "" if model is state.models.student else f"{name}_"
        cuts.update({f"{prefix}{what}": count for what, count in model.counters.items()})
    return cuts


def round_record(log: RoundLog, correlation: ScoreErrorCorrelation | None = None) -> RoundRecord:
    """What the record says of a finished round; `correlation` is measured after the test."""
    record = RoundRecord(
        index=log.round.index,
        restart=log.round.restart,
        optimiser_steps=log.optimiser_steps,
        annotated=log.annotated,
        charged=ledger_entries(log.charged),
        spent=ledger_entries(log.spent),
        computed=ledger_entries(log.computed),
        validation=dict(log.validation),
        notes=dict(log.notes),
    )
    return record if correlation is None else record.model_copy(update={"score_error_correlation": correlation})


def ledger_entries(usages: Mapping[str, Usage]) -> dict[str, LedgerEntry]:
    """Source -> entry, sorted by source: `charged`, `spent` or `computed` as the record shows it."""
    return {source: LedgerEntry(**vars(usage)) for source, usage in sorted(usages.items())}


def _training(fits: Sequence[FitReport], history: Sequence[RoundLog]) -> TrainingRecord:
    names = [
        field.name for field in dataclasses.fields(FitReport) if field.name not in ("truncated_examples", "stages")
    ]
    sums = {name: sum(getattr(report, name) for report in fits) for name in names}
    return TrainingRecord(final_student_steps=final_student_steps(history), **sums)
