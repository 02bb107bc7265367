"""The loss on reference targets: which targets a format makes of a question, and their nats per token by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.evaluation.cross_entropy import cross_entropy, reference_targets
from benchmark.random_streams import stream
from benchmark.types import Example, Span, TrainingExample
from methods.step_by_step import StepByStepFormat
from tests.rehearsals.tensor_parts import nats, target_logits
from tests.student.student_parts import shared_student

WITH, WITHOUT = Example("a", "4+3", "7", rationale="4+3=7"), Example("b", "9-1", "8")
DRAWS = partial(stream, "references")


class Plain:
    """A task that shows the question as it is."""

    def show(self, question: Any) -> str:
        return str(question.text)


def texts(form: Any, *examples: Example) -> list[tuple[str, str, str]]:
    task: Any = Plain()
    found = reference_targets(examples, form, task, DRAWS)
    return [(target.task, target.prompt, target.target_text) for target in found]


def test_each_target_of_a_format_is_there_once() -> None:
    assert texts(RationaleThenAnswer(), WITH) == [("rationale_and_answer", "4+3", "4+3=7#7")]
    assert texts(AnswerOnly(), WITH) == [("answer", "4+3", "7")]
    for labels in ("teacher", "human"):
        found = texts(StepByStepFormat(labels=labels), WITH)
        assert sorted(found) == [("label", "predict: 4+3", "7"), ("rationale", "explain: 4+3", "4+3=7")]


def test_a_question_without_a_rationale_has_the_answer_alone() -> None:
    assert texts(RationaleThenAnswer(), WITHOUT, WITH) == [
        ("rationale_and_answer", "9-1", "#8"),
        ("rationale_and_answer", "4+3", "4+3=7#7"),
    ]
    assert texts(StepByStepFormat(), WITHOUT) == [("label", "predict: 9-1", "8")]


def test_it_is_a_mean_over_all_tokens_that_carry_loss() -> None:
    student = shared_student()
    targets = [
        TrainingExample("a", "t", "4+3", (Span("4+3", 0.0), Span("=7", 0.25))),
        TrainingExample("b", "t", "9-1", (Span("8"),), weight=0.5),
    ]
    first, second = student.encoder.examples(targets)
    of_first, of_second = (nats(target_logits(student.network, row), row).tolist() for row in (first, second))
    counted = [*of_first[3:], *of_second]  # "=", "7", EOS, "8", EOS: what a weight is otherwise does not matter
    assert len(counted) == 5
    assert cross_entropy(student, targets) == pytest.approx(sum(counted) / 5, rel=1e-5)


def test_targets_without_a_token_that_carries_loss_are_refused() -> None:
    target = TrainingExample("a", "t", "4+3", (Span("7", 0.0),))
    with pytest.raises(ValueError, match="no token of the reference targets carries loss"):
        cross_entropy(shared_student(), [target])
