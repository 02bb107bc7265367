"""Right answers by wrong reasoning: who is judged, and what the two shares say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.contract import Format
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.evaluation.reasoning import reasoning_accuracy, right_answer_wrong_reasoning, with_reasoning
from benchmark.student.student import Student
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Example, Reply, Request
from methods.step_by_step import StepByStepFormat

EXAMPLES = [Example(name, name, str(eval(name))) for name in ("1+1+1", "2+2+2", "9-9-9", "3+0-3")]
RIGHT = ("1+1=2;2+1=3#3", "2+2=4;4+2=6#6", "9-9=0;0-9=-9#-9", "3+0=3;3-3=0#0")
DATASET = GeneratedDataset("chain_sum", "benchmark.tasks.chain_sum", GeneratedAnswer(), (), 5, 5, 5)


@dataclass
class Scripted:
    """Writes one text after the other, whatever it is asked."""

    texts: tuple[str, ...]

    def generate(self, requests: list[Request], key: str = "", advance: Any = None) -> list[list[Reply]]:
        return [[Reply(text)] for _, text in zip(requests, self.texts, strict=True)]


def judged(*texts: str, form: Format | None = None, dataset: object = DATASET) -> Evaluation:
    student = cast(Student, Scripted(texts))
    evaluation = evaluate(student, EXAMPLES, form or RationaleThenAnswer(), GeneratedAnswer())
    return with_reasoning(evaluation, EXAMPLES, cast(Dataset, dataset))


def verdicts(evaluation: Evaluation) -> list[bool | None]:
    return [prediction.reasoning_right for prediction in evaluation.predictions]


def shares(evaluation: Evaluation) -> tuple[float | None, float | None]:
    return reasoning_accuracy(evaluation.predictions), right_answer_wrong_reasoning(evaluation.predictions)


def test_answers_and_their_reasoning_are_judged_apart() -> None:
    evaluation = judged(RIGHT[0], "2+2=5;5+1=6#6", "9-9=0;0-9=-9#9", "3-3=0;0+0=0#0")
    assert verdicts(evaluation) == [True, False, True, False]
    assert [prediction.correct for prediction in evaluation.predictions] == [True, True, False, True]
    assert shares(evaluation) == (0.5, pytest.approx(2 / 3))


def test_all_right_and_none_right() -> None:
    assert shares(judged(*RIGHT)) == (1.0, 0.0)
    assert shares(judged("1+1=2;2+1=3#4", *["x#y"] * 3)) == (0.25, None)


def test_reasoning_that_is_left_out_once_is_wrong() -> None:
    evaluation = judged("#3", *RIGHT[1:])
    assert verdicts(evaluation) == [False, True, True, True]
    assert shares(evaluation) == (0.75, 0.25)


@pytest.mark.parametrize("form", [AnswerOnly(), StepByStepFormat()], ids=["answer_only", "step_by_step"])
def test_an_answer_alone_is_not_judged(form: Format) -> None:
    evaluation = judged("3", "6", "-9", "0", form=form)
    assert evaluation.accuracy == 1.0
    assert verdicts(evaluation) == [None] * 4
    assert shares(evaluation) == (None, None)


def test_where_nothing_checks_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shares(judged(*RIGHT, dataset=object())) == (None, None)

    class Unchecked:
        def check_steps(self, *_: object) -> None:
            return None

    assert shares(judged(*RIGHT, dataset=Unchecked())) == (None, None)


def test_nothing_else_of_a_prediction_changes() -> None:
    evaluation = judged(*RIGHT)
    unjudged = judged(*RIGHT, dataset=object())
    assert [replace(p, reasoning_right=None) for p in evaluation.predictions] == list(unjudged.predictions)
