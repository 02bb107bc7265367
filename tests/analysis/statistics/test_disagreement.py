"""Which questions methods disagree on."""

from __future__ import annotations

import pytest

from analysis.statistics.disagreement import chosen_questions, disagreement


@pytest.mark.parametrize(
    ("results", "expected"),
    [([], 0.0), ([1.0], 0.0), ([1.0, 1.0], 0.0), ([1.0, 0.0], 0.25), ([1.0, 0.0, 0.0], 2 / 9), ([0.25, 0.75], 0.0625)],
)
def test_disagreement_is_p_times_one_minus_p(results: list[float], expected: float) -> None:
    assert disagreement(results) == pytest.approx(expected)


def test_the_most_disputed_come_first_and_equal_ones_by_their_numbers() -> None:
    results = {"q10": [1, 0, 0, 0], "q9": [1, 0, 0, 0], "q2": [1, 1, 0, 0], "q1": [1, 1, 1, 1], "q3": [0, 0, 0, 0]}
    assert chosen_questions(results, 3) == (["q2", "q9"], ["q1"])
    assert chosen_questions(results, 9) == (["q2", "q9", "q10"], ["q1", "q3"])


def test_others_are_drawn_at_equal_distances() -> None:
    results = {f"q{number}": [1.0, 1.0] for number in range(100)}
    assert chosen_questions(results, 4) == ([], ["q0", "q25", "q50", "q75"])
    assert chosen_questions({}, 4) == ([], [])
