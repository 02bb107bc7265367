"""Counts, win rates and their interval."""

from __future__ import annotations

import math

import pytest

from benchmark.judging.asking import Judgement
from benchmark.judging.tally import overall, tallies, wilson
from benchmark.judging.verdicts import Preference


def both(
    question: str, construct: str, one: Preference | None, other: Preference | None, asked: bool = True
) -> list[Judgement]:
    prompt = "?" if asked else None
    return [
        Judgement(question, construct, "first", prompt, "", None, None, one),
        Judgement(question, construct, "second", prompt, "", None, None, other),
    ]


def test_a_construct_is_counted_by_outcomes() -> None:
    rows = [
        *both("q1", "satisfaction", "first", "first"),
        *both("q2", "satisfaction", "first", "second"),
        *both("q3", "satisfaction", "second", "second"),
        *both("q4", "satisfaction", "first", "first"),
        *both("q5", "satisfaction", "tie", "first"),
        *both("q6", "satisfaction", None, "first"),
        *both("q7", "satisfaction", "tie", "tie", asked=False),
    ]
    [(name, tally)] = tallies(rows).items()
    assert name == "satisfaction"
    assert tally.counts == {"first": 2, "position": 1, "second": 1, "tie": 2, "unread": 1}
    assert tally.questions == 6
    assert tally.win_rate == pytest.approx((2 + 3 * 0.5) / 6)
    assert tally.interval == wilson(3.5 / 6, 6)
    assert tally.agreement == pytest.approx(3 / 5)  # identical ones, which nobody was asked about, prove nothing


def test_a_question_counts_once_over_all_constructs() -> None:
    rows = [
        *both("q1", "plausibility", "first", "first"),
        *both("q1", "completeness", "second", "second"),
        *both("q2", "plausibility", "first", "first"),
        *both("q2", "completeness", None, None),
    ]
    tally = overall(rows)
    assert tally.questions == 2
    assert tally.win_rate == pytest.approx(0.75)
    assert tally.interval == wilson(0.75, 2)
    assert sum(tally.counts.values()) == 4


def test_nothing_read_has_no_rate() -> None:
    tally = overall(both("q1", "plausibility", None, "first"))
    assert (tally.win_rate, tally.interval, tally.agreement, tally.questions) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"), [(0.8, 10, 0.4902, 0.9433), (1.0, 10, 0.7225, 1.0), (0.0, 10, 0.0, 0.2775)]
)
def test_wilsons_interval_of_tables(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == pytest.approx((low, high), abs=5e-5)


def test_wilsons_interval_inverts_the_score_test() -> None:
    for share, count in ((0.3, 7), (0.5, 40), (0.95, 200)):
        for end in wilson(share, count):
            assert abs(share - end) / math.sqrt(end * (1 - end) / count) == pytest.approx(1.959964, abs=1e-5)
