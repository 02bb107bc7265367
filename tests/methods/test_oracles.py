"""The oracle: the share of wrong answers, better than random, and marked as using gold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.axes.selection import RandomSelection
from benchmark.types import Request
from methods.oracles import TrueErrorSelection
from tests.methods.selection_context import CountingStudent, SmallContext, number, numbers, ranked
from tests.rehearsals.scripted import miniature, run


def often_wrong(request: Request, sample: int) -> str:
    """Wrong in as many of five samples as the question's number says, modulo 6."""
    return f"1+1=2#{3 if sample < number(request) % 6 else 2}"


def test_the_score_is_the_share_of_wrong_answers_and_unread_ones_are_wrong() -> None:
    picks = ranked(TrueErrorSelection(), SmallContext(CountingStudent(often_wrong)))
    assert [pick.score for pick in picks] == pytest.approx([share / 5 for share in (5, 4, 3, 2, 1, 0) for _ in "12345"])
    silent = ranked(TrueErrorSelection(), SmallContext(CountingStudent(lambda request, sample: "")))
    assert {pick.score for pick in silent} == {1.0}


def test_it_finds_more_of_what_the_student_gets_wrong_than_random() -> None:
    def wrong(picks: list[int]) -> float:
        return float(np.mean([each % 6 / 5 for each in picks[:10]]))

    contexts = [SmallContext(CountingStudent(often_wrong), seed=seed) for seed in range(20)]
    oracle = [wrong(numbers(ranked(TrueErrorSelection(), context))) for context in contexts]
    chance = [wrong(numbers(ranked(RandomSelection(), context))) for context in contexts]
    assert min(oracle) > max(chance)


def test_the_pool_does_not_decide_but_gold_does() -> None:
    context = SmallContext(CountingStudent(often_wrong))
    picks = ranked(TrueErrorSelection(), context)
    assert ranked(TrueErrorSelection(), context, [pick.question for pick in picks]) == picks
    other = SmallContext(CountingStudent(often_wrong), golds=lambda question: "3")
    assert numbers(ranked(TrueErrorSelection(), other)) != numbers(picks)


def test_a_cell_with_the_oracle_is_marked(tmp_path: Path) -> None:
    ran = run(miniature("selection=true_error_oracle"), tmp_path)
    assert ran.result["uses_gold"]
    assert len(ran.table("picks")) == 40
