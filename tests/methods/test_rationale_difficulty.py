"""Rationale difficulty: its closed form, both directions, and what has no answer."""

from __future__ import annotations

import math

import pytest

from benchmark.types import Request
from methods.rationale_difficulty import RationaleDifficulty
from tests.methods.selection_context import POOL, CountingStudent, SmallContext, number, numbers, ranked


def says(request: Request, sample: int) -> str:
    return "1+1=2#" if number(request) == 0 else f"1+1=2#{'2' * (1 + number(request) % 2)}"


def believes(request: Request, text: str) -> float:
    """A rationale helps by as many nats per character as the question's number says, over ten."""
    helped = request.prefix != "#"
    return (-4.0 + helped * number(request) / 10) * len(text)


def test_it_is_the_ratio_of_two_perplexities_per_character() -> None:
    context = SmallContext(CountingStudent(says, believes))
    picks = ranked(RationaleDifficulty(), context)
    assert numbers(picks) == [*range(29, 0, -1), 0]
    for pick in picks[:-1]:
        nats = int(pick.question.id[2:]) / 10
        assert pick.score == pytest.approx(nats)
        assert pick.evidence["rationale_difficulty"] == pytest.approx(math.exp(4.0 - nats) / math.exp(4.0))
        assert pick.evidence["rationale"] == "1+1=2"
    assert set(context.student.asked.values()) == {1}
    assert context.student.asked.total() == len(POOL) + 2 * (len(POOL) - 1)


def test_what_cannot_be_read_is_the_hardest_and_counted() -> None:
    context = SmallContext(CountingStudent(says, believes))
    picks = ranked(RationaleDifficulty("hard"), context)
    assert numbers(picks) == list(range(30))
    assert picks[0].evidence == {"rationale": "1+1=2", "answer": None, "rationale_difficulty": None}
    assert context.notes["unread_answers"] == 1


def test_a_student_that_answers_nothing_is_ranked_by_the_seed() -> None:
    silent = CountingStudent(lambda request, sample: "")
    picks = ranked(RationaleDifficulty(), SmallContext(silent))
    assert sorted(numbers(picks)) == list(range(30))
    assert numbers(picks) != list(range(30))
    with pytest.raises(ValueError, match="direction='low' is unknown; choose easy or hard"):
        RationaleDifficulty("low")  # type: ignore[arg-type]
