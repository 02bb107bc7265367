"""What selection and weighting were worth, measured with gold answers once the test is over; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.axes.format import TAUGHT_KINDS
from benchmark.buying.purchase import HUMAN
from benchmark.cell.cell import Cell
from benchmark.evaluation.calibration import calibration, label_precision, score_error_correlation
from benchmark.records.evidence import RankedQuestion
from benchmark.records.schema import Calibration, Faithfulness, LabelPrecision, ScoreErrorCorrelation
from benchmark.tasks.dataset import GradedTask, Splits
from benchmark.tasks.guard import gold_opened
from benchmark.types import Annotation, Example


@dataclass(frozen=True)
class AfterTheTest:
    """Measures of a whole cell that the record shows where they mean something; None where they do not."""

    faithfulness: Faithfulness | None = None
    """How far explanations decide answers, on the first test questions."""
    labels: LabelPrecision | None = None
    """How many bought answers are right."""
    weights: Calibration | None = None
    """Of the confidence behind the weights."""
    selection: Calibration | None = None
    """Of the selection's confidence in the student's usual answers."""
    correlations: Mapping[int, ScoreErrorCorrelation] = field(default_factory=dict)
    """By round: the selection's score with the student's errors."""


def after_the_test(
    cell: Cell,
    splits: Splits,
    annotations: Sequence[Annotation],
    picks: Sequence[RankedQuestion],
    faithfulness: Faithfulness | None,
) -> AfterTheTest:
    """What became of a cell's purchases; nothing but `faithfulness` in a task whose answers are graded.

    Annotations count if they have an answer that the student may learn and that is not by people.
    """
    if isinstance(cell.dataset.task, GradedTask):
        return AfterTheTest(faithfulness)
    with gold_opened():
        gold = {example.id: example for example in splits.pool}
    rows = [
        row
        for row in annotations
        if row.answer is not None and row.source != HUMAN and row.kind in TAUGHT_KINDS and row.question.id in gold
    ]
    right = [cell.dataset.task.is_correct(gold[row.question.id], row.answer) for row in rows]
    return AfterTheTest(
        faithfulness,
        labels=label_precision([row.weight for row in rows], right) if cell.asks_teacher else None,
        weights=_of_weights(rows, right),
        selection=_of_selection(cell, gold, picks),
        correlations={
            index: found
            for index in sorted({pick.round for pick in picks})
            if (found := _correlation(cell, gold, [pick for pick in picks if pick.round == index])) is not None
        },
    )


def _of_weights(rows: Sequence[Annotation], right: Sequence[bool]) -> Calibration | None:
    judged = [
        (row.weight_evidence["confidence"], is_right)
        for row, is_right in zip(rows, right, strict=True)
        if "confidence" in row.weight_evidence
    ]
    return _calibration(judged)


def _of_selection(cell: Cell, gold: Mapping[str, Example], picks: Sequence[RankedQuestion]) -> Calibration | None:
    """Of every ranked question, bought or not; a usual answer that cannot be read is wrong."""
    return _calibration(
        [
            (float(pick.evidence["confidence"]), _is_right(cell, gold[pick.question_id], pick.evidence["usual"]))
            for pick in picks
            if {"confidence", "usual"} <= pick.evidence.keys() and pick.evidence["confidence"] is not None
        ]
    )


def _calibration(judged: Iterable[tuple[float, bool]]) -> Calibration | None:
    pairs = list(judged)
    return calibration([each for each, _ in pairs], [is_right for _, is_right in pairs]) if pairs else None


def _correlation(
    cell: Cell, gold: Mapping[str, Example], picks: Sequence[RankedQuestion]
) -> ScoreErrorCorrelation | None:
    scores, wrong = [], []
    for pick in picks:
        answers = pick.evidence.get("answers")
        if pick.score is not None and isinstance(answers, list | tuple) and answers:
            is_right = [_is_right(cell, gold[pick.question_id], answer) for answer in answers]
            scores.append(pick.score)
            wrong.append(1 - sum(is_right) / len(is_right))
    return score_error_correlation(scores, wrong) if scores else None


def _is_right(cell: Cell, example: Example, answer: str | None) -> bool:
    return cell.dataset.task.is_correct(example, answer)
