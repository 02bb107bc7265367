"""Effect sizes: closed forms, pairs counted one by one, and simulated bias."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.effect_sizes import cohens_d_z, hedges_correction, hedges_g_z, vargha_delaney_a

DIFFERENCES = [0.02, 0.05, -0.01, 0.04, 0.03]


def test_d_z_is_the_paired_t_over_the_root_of_n() -> None:
    t = stats.ttest_1samp(DIFFERENCES, 0).statistic
    assert cohens_d_z(DIFFERENCES) == pytest.approx(t / math.sqrt(5))
    assert cohens_d_z([1.0, 2.0, 3.0]) == pytest.approx(2.0)
    assert math.isnan(cohens_d_z([1.0, 1.0]))


@pytest.mark.parametrize(("degrees", "factor"), [(2, 0.5642), (3, 0.7236), (4, 0.7979), (9, 0.9139), (30, 0.9748)])
def test_hedges_factor_by_tables(degrees: int, factor: float) -> None:
    """c4 of control charts (ISO 7870-2, n = degrees) times a root: c4(f) = J(f) sqrt(f / (f - 1))."""
    assert hedges_correction(degrees) == pytest.approx(factor, abs=5e-5)
    assert hedges_correction(degrees) == pytest.approx(1 - 3 / (4 * degrees - 1), rel=0.02)


def test_hedges_takes_the_bias_away() -> None:
    """Five normal differences around 1 with a standard deviation of 1: the mean d is 25 % too large."""
    draws = np.random.default_rng(0).normal(1, 1, (8_000, 5)).tolist()
    assert np.mean([cohens_d_z(draw) for draw in draws]) == pytest.approx(1 / hedges_correction(4), rel=0.03)
    assert np.mean([hedges_g_z(draw) for draw in draws]) == pytest.approx(1.0, abs=0.03)
    assert hedges_g_z([1.0, 2.0]) == 0.0


def test_vargha_delaney_counts_pairs() -> None:
    first, second = [1, 3, 3, 5], [2, 3, 4]
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in first for b in second])
    assert vargha_delaney_a(first, second) == pytest.approx(wins)
    assert vargha_delaney_a([2, 3], [1, 1]) == 1.0


def test_what_has_no_spread_is_refused() -> None:
    for size in (cohens_d_z, hedges_g_z):
        for differences in ([], [0.1], [0.1, math.inf]):
            with pytest.raises(ValueError, match="at least two differences"):
                size(differences)
    with pytest.raises(ValueError, match="degrees is 0"):
        hedges_correction(0)
