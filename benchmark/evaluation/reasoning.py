"""Whether the reasoning behind an answer is right, where the dataset can check its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from benchmark.evaluation.accuracy import Evaluation
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.steps import StepCheck
from benchmark.types import Example, Prediction, Question


@runtime_checkable
class ChecksSteps(Protocol):
    """A dataset whose questions have one worked solution that reasoning can be held against."""

    def check_steps(self, question: Question, rationale: str) -> StepCheck | None:
        """How far the steps of a rationale are right; None where that cannot be told."""
        ...


def with_reasoning(evaluation: Evaluation, examples: Sequence[Example], dataset: Dataset) -> Evaluation:
    """The evaluation with every `reasoning_right` set; unchanged where it cannot be told.

    That is so where the dataset checks no steps, and where no prediction has a rationale: the format then asks for the
    answer alone. A single prediction without a rationale, among others with one, has left its reasoning out.
    """
    if not isinstance(dataset, ChecksSteps) or not any(prediction.rationale for prediction in evaluation.predictions):
        return evaluation
    judged = []
    for example, prediction in zip(examples, evaluation.predictions, strict=True):
        steps = dataset.check_steps(example.without_gold(), prediction.rationale)
        judged.append(replace(prediction, reasoning_right=None if steps is None else steps.all_right))
    return replace(evaluation, predictions=tuple(judged))


def reasoning_accuracy(predictions: Sequence[Prediction]) -> float | None:
    """The share of answers whose reasoning is right as a whole, in [0, 1]; None where it was not checked."""
    return _share([prediction.reasoning_right for prediction in predictions])


def right_answer_wrong_reasoning(predictions: Sequence[Prediction]) -> float | None:
    """The share of wrong reasoning among the right answers, in [0, 1]; None where none is right or none was checked."""
    of_right_answers = _share([prediction.reasoning_right for prediction in predictions if prediction.correct])
    return None if of_right_answers is None else 1 - of_right_answers


def _share(judged: Sequence[bool | None]) -> float | None:
    if not judged or None in judged:
        return None
    return sum(map(bool, judged)) / len(judged)
