"""Uncertainty sampling: closed forms, the same order for every order of the pool, nothing asked twice, no gold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.axes.format import AnswerOnly
from benchmark.axes.selection import FixedRandomSelection, RandomSelection
from benchmark.errors import ConfigError
from benchmark.planning.checks import check_without_trace
from benchmark.types import Request, Round
from methods.diversity import CoreSet, UncertainDiversity
from methods.rationale_difficulty import RationaleDifficulty
from methods.uncertainty_sampling import AnswerUncertainty, ExplanationLength, LikelihoodUncertainty, MiddleBand
from tests.methods.selection_context import POOL, CountingStudent, SmallContext, number, numbers, ranked
from tests.rehearsals.scripted import OtherGold, ScriptedTeacher, assert_survives_json, miniature, run

WITHOUT_GOLD = [
    AnswerUncertainty(),
    AnswerUncertainty("unique_share"),
    LikelihoodUncertainty(),
    ExplanationLength(),
    MiddleBand(),
    RationaleDifficulty(),
    CoreSet(),
    UncertainDiversity(),
]


def several(request: Request, sample: int) -> str:
    """Of five samples as many differ from 2 as the question's number says, modulo 6."""
    return f"1+1=2#{sample + 10 if sample < number(request) % 6 else 2}"


def named(selection: Any) -> str:
    return f"{type(selection).__name__}-{getattr(selection, 'measure', '')}"


@pytest.mark.parametrize(
    ("measure", "expected"),
    [("one_minus_max", [0, 0.2, 0.4, 0.6, 0.8, 0.8]), ("unique_share", [0.2, 0.4, 0.6, 0.8, 1, 1])],
)
def test_measures_have_their_closed_forms(measure: Any, expected: list[float]) -> None:
    context = SmallContext(CountingStudent(several))
    picks = ranked(AnswerUncertainty(measure), context)
    for pick in picks:
        assert pick.score == pytest.approx(expected[int(pick.question.id[2:]) % 6])
        assert len(pick.evidence["answers"]) == 5
    assert [pick.score for pick in picks] == sorted((pick.score for pick in picks), reverse=True)
    assert set(context.student.asked.values()) == {1}
    assert context.student.asked.total() == 5 * len(POOL)
    assert context.notes == {"answers": 150, "unread_answers": 0}


def test_the_least_likely_text_comes_first_whatever_its_length() -> None:
    def says(request: Request, sample: int) -> str:
        return "1+1=2;" * (1 + number(request) % 3) + "#2"

    def believes(request: Request, text: str) -> float:
        return -float(number(request)) * len(text)

    context = SmallContext(CountingStudent(says, believes))
    picks = ranked(LikelihoodUncertainty(), context)
    assert numbers(picks) == list(range(29, -1, -1))
    assert picks[0].score == 29
    assert context.student.asked.total() == len(POOL)


def test_the_longest_explanation_comes_first_in_steps_then_in_characters() -> None:
    def says(request: Request, sample: int) -> str:
        return {0: "1+1=2;2+1=3#3", 1: "1+1=2;2+10=12#12", 2: "111111111111+1=2#2"}[number(request) % 3]

    picks = ranked(ExplanationLength(), SmallContext(CountingStudent(says)))
    assert [each % 3 for each in numbers(picks)] == [1] * 10 + [0] * 10 + [2] * 10
    assert picks[0].score == 2


def test_the_middle_band_prefers_two_or_three_equal_answers_of_five() -> None:
    picks = ranked(MiddleBand(), SmallContext(CountingStudent(several)))
    assert {each % 6 for each in numbers(picks)[:10]} == {2, 3}  # shares 0.6 and 0.4
    assert picks[0].score == pytest.approx(-0.1)
    assert {each % 6 for each in numbers(picks)[-5:]} == {0}  # always the same answer
    wide = ranked(MiddleBand(width=0.6), SmallContext(CountingStudent(several)))
    assert {each % 6 for each in numbers(wide)[:25]} == {1, 2, 3, 4, 5}
    assert wide[24].score == 0 > wide[25].score


def test_unreadable_texts_are_no_usual_answer() -> None:
    picks = ranked(MiddleBand(), SmallContext(CountingStudent(lambda request, sample: "no answer")))
    assert {pick.evidence["share"] for pick in picks} == {0.0}


@pytest.mark.parametrize("selection", [*WITHOUT_GOLD, FixedRandomSelection()], ids=named)
def test_the_order_of_the_pool_changes_nothing_and_the_seed_breaks_ties(selection: Any) -> None:
    student = CountingStudent(several)
    picks = ranked(selection, SmallContext(student))
    assert ranked(selection, SmallContext(student), POOL[::-1]) == picks
    assert ranked(selection, SmallContext(student), [*POOL[11:], *POOL[:11]]) == picks
    assert sorted(numbers(picks)) == list(range(30))
    assert_survives_json(picks)
    if not isinstance(selection, LikelihoodUncertainty | FixedRandomSelection | RationaleDifficulty):
        assert numbers(ranked(selection, SmallContext(student, seed=2))) != numbers(picks)


@pytest.mark.parametrize("selection", WITHOUT_GOLD, ids=named)
def test_a_warm_up_round_is_random_and_asks_nobody(selection: Any) -> None:
    context = SmallContext(round=Round(0, 0.5, warmup=True))
    assert ranked(selection, context) == ranked(RandomSelection(), context)
    assert not context.student.asked
    assert not context.student.embedded


def test_the_fixed_order_is_that_of_all_seeds_and_rounds_and_of_smaller_pools() -> None:
    first = numbers(ranked(FixedRandomSelection(), SmallContext()))
    later = SmallContext(seed=2, round=Round(2, 0.5))
    assert numbers(ranked(FixedRandomSelection(), later)) == first != list(range(30))
    left = [question for question in POOL if question.id not in ("q-3", "q-7")]
    assert numbers(ranked(FixedRandomSelection(), later, left)) == [each for each in first if each not in (3, 7)]
    assert numbers(ranked(RandomSelection(), later)) != numbers(ranked(RandomSelection(), SmallContext(seed=2)))


@pytest.mark.parametrize("selection", WITHOUT_GOLD, ids=named)
def test_no_gold_answer_is_read(selection: Any, tmp_path: Path) -> None:
    teacher = ScriptedTeacher("teacher", lambda request, sample: "1+1=2 The answer is 2.")
    cell = miniature(selection=selection, teacher=teacher)
    other = replace(cell, dataset=OtherGold(cell.dataset))
    ours, theirs = run(cell, tmp_path / "a"), run(other, tmp_path / "b")
    assert ours.table("picks") == theirs.table("picks")
    assert not ours.result["uses_gold"]


@pytest.mark.parametrize("selection", WITHOUT_GOLD, ids=named)
def test_it_works_on_choices_and_in_the_formats_that_have_its_roles(selection: Any, tmp_path: Path) -> None:
    forms = {"answer_only", "step_by_step", "rationale_then_answer"}
    if isinstance(selection, RationaleDifficulty):
        forms = {"rationale_then_answer"}
    if isinstance(selection, ExplanationLength):
        forms -= {"answer_only"}
    for form in sorted(forms):
        ran = run(miniature("dataset=trait_choice", f"method={form}", selection=selection), tmp_path / form)
        assert len(ran.table("picks")) == 40


def test_formats_without_the_roles_are_refused_with_those_that_have_them() -> None:
    for form in ("answer_only", "step_by_step"):
        with pytest.raises(ConfigError, match=r"asks the student in the role .*; choose format=rationale_then_answer$"):
            check_without_trace(miniature(f"method={form}", selection=RationaleDifficulty()))
    able = "multitask or format=multitask_short or format=rationale_then_answer or format=step"
    with pytest.raises(ConfigError, match=f"choose format={able}"):
        check_without_trace(miniature(selection=ExplanationLength(), format=AnswerOnly()))


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"samples": 1}, "samples=1 cannot differ"), ({"temperature": 0.0}, "temperature=0.0 gives the same")],
)
def test_settings_that_cannot_differ_are_refused(settings: Any, told: str) -> None:
    for made in (AnswerUncertainty, MiddleBand, UncertainDiversity):
        with pytest.raises(ValueError, match=told):
            made(**settings)
    with pytest.raises(ValueError, match=r"measure='variance' is unknown; choose entropy"):
        AnswerUncertainty("variance")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"centre=2 and width=0.0"):
        MiddleBand(centre=2)
