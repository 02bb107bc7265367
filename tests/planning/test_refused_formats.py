"""What the plan refuses of a format: a loss that cannot train it, no explanation, a role that nobody can ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.axes.loss import CrossEntropy
from benchmark.axes.selection import RandomSelection
from benchmark.contract import ExplainingFormat, Requirements
from benchmark.errors import ConfigError
from benchmark.planning.checks import check_without_trace
from benchmark.types import Term
from methods.mutual_information import MutualInformation
from methods.step_by_step import StepByStepFormat
from tests.corridor.corridor_parts import miniature


def test_mutual_information_over_one_task_no_longer_trains_silently_as_cross_entropy() -> None:
    with pytest.raises(ConfigError) as refused:
        check_without_trace(miniature("method=answer_only", loss=MutualInformation()))
    assert str(refused.value) == (
        "answer_only on chain_sum: loss MutualInformation cannot train what format AnswerOnly makes: it couples the "
        "tasks label and rationale, and the format has no label and no rationale; choose format=step_by_step, "
        "format=multitask or format=multitask_counterfactual, or loss=cross_entropy"
    )
    check_without_trace(miniature("method=step_by_step", loss=MutualInformation()))


def test_cross_entropy_refuses_a_mean_per_group_in_the_plan() -> None:
    @dataclass(frozen=True)
    class PerGroup(AnswerOnly):
        def terms(self) -> Mapping[str, Term]:
            return {"answer": Term(frozenset({"answer"}), per="group")}

    with pytest.raises(
        ConfigError, match="loss CrossEntropy cannot train what format PerGroup makes: term 'answer' is"
    ):
        check_without_trace(miniature(format=PerGroup(), loss=CrossEntropy()))


@dataclass(frozen=True)
class Reflects(RandomSelection):
    """Asks the student for explanations."""

    def requires(self) -> Requirements:
        return super().requires() | Requirements(explanations=True)


def test_a_part_that_wants_explanations_is_refused_with_a_format_that_has_none() -> None:
    with pytest.raises(ConfigError, match="asks the student for explanations, and format AnswerOnly has no `explan"):
        check_without_trace(miniature("method=answer_only", selection=Reflects()))
    check_without_trace(miniature("method=step_by_step", selection=Reflects()))


def test_a_path_with_a_role_that_nobody_can_ask_is_refused() -> None:
    @dataclass(frozen=True)
    class Misspelt(RationaleThenAnswer):
        explanation_path: ClassVar[tuple[str, ...]] = ("explane",)

    with pytest.raises(ConfigError, match="explanation_path of format Misspelt asks in the role explane, which is not"):
        check_without_trace(miniature(format=Misspelt()))


def test_explanations_stand_where_the_formats_say() -> None:
    assert not isinstance(AnswerOnly(), ExplainingFormat)
    plain, tasks = RationaleThenAnswer(), StepByStepFormat()
    assert isinstance(plain, ExplainingFormat)
    assert isinstance(tasks, ExplainingFormat)
    assert plain.read_explanation("4+3=7;7-5=2#2") == "4+3=7;7-5=2"
    assert (tasks.explanation_path, tasks.read_explanation("4+3=7;7-5=2")) == (("explain",), "4+3=7;7-5=2")
