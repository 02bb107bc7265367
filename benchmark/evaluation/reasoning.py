"""Checks whether the reasoning behind an answer is right, if the dataset can check its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from benchmark.evaluation.accuracy import Evaluation
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.guard import gold_opened
from benchmark.tasks.steps import StepCheck
from benchmark.types import Example, Prediction, Question


@runtime_checkable
class ChecksSteps(Protocol):
    """A dataset that can compare reasoning with the worked solution of a question."""

    def check_steps(self, question: Question, rationale: str) -> StepCheck | None:
        """Counts the right steps of a rationale; None if they cannot be checked."""
        ...


def with_reasoning(evaluation: Evaluation, examples: Sequence[Example], dataset: Dataset) -> Evaluation:
    """The evaluation with `reasoning_right` set in every prediction; unchanged if reasoning cannot be checked.

    It cannot be checked if the dataset checks no steps, or if no prediction has a rationale (the format asks for the
    answer alone). If only some predictions have no rationale, their reasoning counts as wrong.
    """
    if not isinstance(dataset, ChecksSteps) or not any(prediction.rationale for prediction in evaluation.predictions):
        return evaluation
    judged = []
    for example, prediction in zip(examples, evaluation.predictions, strict=True):
        with gold_opened():
            steps = dataset.check_steps(example.without_gold(), prediction.rationale)
        judged.append(replace(prediction, reasoning_right=None if steps is None else steps.all_right))
    return replace(evaluation, predictions=tuple(judged))


def reasoning_accuracy(predictions: Sequence[Prediction]) -> float | None:
    """The share of answers whose reasoning is right as a whole, in [0, 1]; None if it was not checked."""
    return _share([prediction.reasoning_right for prediction in predictions])


def right_answer_wrong_reasoning(predictions: Sequence[Prediction]) -> float | None:
    """The share of right answers with wrong reasoning, in [0, 1]; None without right answers or without a check."""
    of_right_answers = _share([prediction.reasoning_right for prediction in predictions if prediction.correct])
    return None if of_right_answers is None else 1 - of_right_answers


def _share(judged: Sequence[bool | None]) -> float | None:
    if not judged or None in judged:
        return None
    return sum(map(bool, judged)) / len(judged)
