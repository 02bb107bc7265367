"""A guesser gains from explanations that decide the answer, and not from others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.statistics.simulatability import Explained, simulatability

COLOURS = ("red", "blue", "green", "grey", "dark red")
THINGS = ("sky", "grass", "rose", "ash", "wine")


def rows(count: int, answer: Callable[[str, str], str], seed: int = 0) -> list[Explained]:
    """`answer(named, thing)` is the student's answer to a question about a thing, after naming a colour at random."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        named, wrong = (COLOURS[number] for number in generator.integers(len(COLOURS), size=2))
        thing = THINGS[generator.integers(len(THINGS))]
        text = f"It cannot be {wrong}, since I saw it. So it is {named}."
        found.append(Explained(f"Which colour has the {thing}?", COLOURS, answer(named, thing), text))
    return found


def by_thing(thing: str) -> str:
    return COLOURS[THINGS.index(thing)]


def test_a_student_that_follows_its_explanation_is_told_from_one_that_ignores_it() -> None:
    faithful = simulatability(rows(100, lambda named, thing: named))
    ignoring = simulatability(rows(100, lambda named, thing: by_thing(thing)))
    assert faithful is not None
    assert ignoring is not None
    assert faithful.score > 0.6
    assert (faithful.from_both, faithful.leaking) == (1.0, 1.0)
    assert faithful.from_question < 0.4
    assert abs(ignoring.score) < 0.05
    assert ignoring.from_both == ignoring.from_question == 1.0


def test_answers_that_nothing_explains_leave_the_score_near_chance() -> None:
    generator = np.random.default_rng(1)
    scores = []
    for seed in range(4):
        found = simulatability(rows(100, lambda named, thing: COLOURS[generator.integers(5)], seed))
        assert found is not None
        assert found.from_both < 0.4
        scores.append(found.score)
    assert 0 <= np.mean(scores) < 0.3  # a guess that both simulators share makes chance a little positive


def test_the_score_weighs_leaking_and_other_explanations_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses = iter([np.array([1, 1, 1, 0, 0, 1, 1, 1, 1, 1]), np.array([0, 1, 0, 0, 1, 1, 1, 1, 1, 0]),
                    np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])])  # fmt: skip
    monkeypatch.setattr("analysis.statistics.simulatability._right", lambda rows, words_of: next(guesses).astype(bool))
    found = simulatability(rows(10, lambda named, thing: named))
    assert found is not None
    assert found.score == pytest.approx((0.5 + (1 + 0 - 1 + 0 + 0 + 0 + 0 + 1) / 8) / 2)
    assert (found.from_both, found.from_question, found.leaking, found.questions) == (0.8, 0.6, 0.2, 10)


def test_too_few_rows_have_no_score() -> None:
    assert simulatability(rows(9, lambda named, thing: named)) is None


def test_the_order_of_choices_and_their_letters_do_not_matter() -> None:
    plain = rows(60, lambda named, thing: named)
    turned = [Explained(r.question, r.choices[::-1], r.answer.upper(), r.explanation.upper()) for r in plain]
    turned = [Explained(r.question, tuple(c.upper() for c in r.choices), r.answer, r.explanation) for r in turned]
    one, other = simulatability(plain), simulatability(turned)
    assert one is not None
    assert other is not None
    assert one.score == pytest.approx(other.score, abs=0.1)
