"""Paired differences and gaps between curves: closed forms, and scipy's own interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.paired import mean_gap, paired_difference


def test_the_interval_is_that_of_scipy_and_only_shared_seeds_count() -> None:
    chance = np.random.default_rng(0)
    theirs = {seed: float(value) for seed, value in enumerate(chance.normal(0.5, 0.1, 6))}
    ours = {seed: value + float(chance.normal(0.03, 0.02)) for seed, value in theirs.items()}
    found = paired_difference({**ours, 99: 5.0}, theirs)
    expected = stats.ttest_rel(list(ours.values()), list(theirs.values())).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.num_values == 6
    assert paired_difference({1: 1.0}, {2: 1.0}) is None
    single = paired_difference({1: 1.0}, {1: 0.25})
    assert single is not None
    assert (single.mean, single.half_width) == (0.75, None)


def test_the_gap_of_two_lines_is_their_mean_distance_where_both_are_known() -> None:
    """y = x against y = 0, from 1 to 3 (the shared stretch): the mean of x, which is 2."""
    assert mean_gap([(0.0, 0.0), (3.0, 3.0)], [(1.0, 0.0), (5.0, 0.0)]) == pytest.approx(2.0)
    assert mean_gap([(0.0, 1.0), (2.0, 1.0)], [(0.0, 0.0), (1.0, 2.0), (2.0, 0.0)]) == pytest.approx(0.0)
    assert mean_gap([(0.0, 1.0), (1.0, 1.0)], [(2.0, 0.0), (3.0, 0.0)]) is None
