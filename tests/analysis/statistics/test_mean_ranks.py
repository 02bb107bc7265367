"""Friedman's test as scipy has it, Nemenyi's difference as published, and ranks by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.mean_ranks import compare_ranks, critical_difference

Q_05 = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""Demsar (2006), table 5 (a): critical values of the two-tailed Nemenyi test at 5 %."""


@pytest.mark.parametrize(("num_methods", "q"), Q_05.items())
def test_the_critical_difference_is_the_published_one(num_methods: int, q: float) -> None:
    for num_blocks in (1, 14):
        expected = q * math.sqrt(num_methods * (num_methods + 1) / (6 * num_blocks))
        assert critical_difference(num_methods, num_blocks) == pytest.approx(expected, abs=0.001 * expected / q)


def test_the_published_example() -> None:
    """Demsar (2006), section 3.2.2: four classifiers on 14 data sets, critical difference 1.25."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_that_of_scipy(ties: bool) -> None:
    values = np.random.default_rng(0).random((9, 4)) + np.array([0, 0.1, 0.3, 0.3])
    frame = pd.DataFrame(np.round(values, 1) if ties else values, columns=list("abcd"))
    expected = stats.friedmanchisquare(*frame.to_numpy().T)
    found = compare_ranks(frame)
    assert found.friedman == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)


def test_two_methods_have_the_statistic_of_the_signs() -> None:
    """With wins of 3 to 1 it is (3 - 1)^2 / 4, by hand; scipy asks for three methods."""
    found = compare_ranks(pd.DataFrame({"a": [0.5, 0.6, 0.7, 0.1], "b": [0.4, 0.5, 0.6, 0.2]}))
    assert found.friedman == pytest.approx(1.0)
    assert found.mean_ranks == {"a": 1.25, "b": 1.75}


def test_mean_ranks_and_groups_by_hand() -> None:
    """Four methods in one order over 12 blocks have ranks 1 to 4; 1.354 apart or less, neighbours go together."""
    frame = pd.DataFrame({"worst": [0.1] * 12, "best": [0.9] * 12, "third": [0.2] * 12, "second": [0.3] * 12})
    found = compare_ranks(frame)
    assert found.mean_ranks == {"best": 1.0, "second": 2.0, "third": 3.0, "worst": 4.0}
    assert list(found.mean_ranks) == ["best", "second", "third", "worst"]
    assert found.groups == (("best", "second"), ("second", "third"), ("third", "worst"))
    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(20 / 72), abs=0.001)
    wide = compare_ranks(frame.head(2))  # 3.32 apart or less: all of them
    assert wide.groups == (("best", "second", "third", "worst"),)
    narrow = compare_ranks(pd.concat([frame] * 4))  # 0.68: none
    assert narrow.groups == ()


def test_equal_results_share_the_mean_of_their_ranks_and_show_nothing() -> None:
    found = compare_ranks(pd.DataFrame({"a": [0.5, 0.5], "b": [0.5, 0.5], "c": [0.5, 0.5]}))
    assert found.mean_ranks == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert (found.friedman, found.p) == (0.0, 1.0)
    assert found.groups == (("a", "b", "c"),)


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame({"a": [0.5]}), pd.DataFrame({"a": [], "b": []}), pd.DataFrame({"a": [0.5], "b": [math.nan]})],
)
def test_too_little_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="ranks need"):
        compare_ranks(frame)
