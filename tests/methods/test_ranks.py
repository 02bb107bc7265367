"""Ranks, measures of disagreement and seeded ties."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest

from benchmark.contract import Context
from benchmark.random_streams import stream
from benchmark.types import Question
from methods.ranks import best_first, disagreement, entropy, rank01


class Seeded:
    """As much of a context as ranking uses."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def rng(self, *key: str | int) -> np.random.Generator:
        return stream("seed", self.seed, *key)


def context(seed: int = 1) -> Context:
    return cast(Context, Seeded(seed))


POOL = [Question(f"q-{number}", "1+1") for number in range(40)]


def test_ranks_are_in_0_to_1_and_equal_values_share_their_mean() -> None:
    assert rank01([3.0, 1.0, 2.0]).tolist() == [1.0, 0.0, 0.5]
    assert rank01([1.0, 1.0, 2.0]).tolist() == [0.25, 0.25, 1.0]
    assert rank01([7.0]).tolist() == [0.0]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [("aaaaa", 0.0), ("abcde", 1.0), ("aaabb", -(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) / math.log(5))],
)
def test_entropy_has_its_closed_form(answers: str, expected: float) -> None:
    assert entropy(answers) == pytest.approx(expected, abs=1e-12)


def test_the_page_says_what_a_three_two_split_gives() -> None:
    assert entropy("aaabb") == pytest.approx(0.418, abs=5e-4)


def test_other_measures_have_their_closed_forms_and_none_is_an_answer() -> None:
    answers = ["4", "4", None, "5", "4"]
    assert disagreement(answers, "one_minus_max") == pytest.approx(0.4)
    assert disagreement(answers, "unique_share") == pytest.approx(0.6)
    assert disagreement(answers, "one_minus_margin") == pytest.approx(1 - (0.6 - 0.2))
    assert disagreement(["4"] * 5, "one_minus_margin") == 0
    with pytest.raises(ValueError, match=r"no measure 'variance' of disagreement; choose entropy, one_minus_max"):
        disagreement(answers, "variance")  # type: ignore[arg-type]


def test_ties_follow_the_second_score_then_the_seed_and_never_the_order_of_the_pool() -> None:
    tied = [pick.question.id for pick in best_first(POOL, [0.0] * 40, context())]
    backwards = [pick.question.id for pick in best_first(POOL[::-1], [0.0] * 40, context())]
    assert tied == backwards
    assert tied not in ([question.id for question in POOL], [question.id for question in POOL[::-1]])
    assert tied != [pick.question.id for pick in best_first(POOL, [0.0] * 40, context(2))]
    second = [float(number) for number in range(40)]
    ordered = best_first(POOL, [0.0] * 40, context(), then_by=second)
    assert [pick.question for pick in ordered] == POOL[::-1]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 scores of a selection are no numbers"):
        best_first(POOL[:2], [0.0, math.nan], context())
