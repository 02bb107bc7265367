"""Relative gains: the published figure's reading, both averages, and baselines that have none."""

from __future__ import annotations

import math

import pytest

from analysis.statistics.gains import average_gain, relative_gain


def test_the_published_gain_of_ta_in_the_loop_is_eight_points_from_forty() -> None:
    """T15 of the page."""
    assert round(100 * relative_gain(48.316, 40.0), 2) == 20.79
    assert round(100 * relative_gain(0.48316, 0.4), 2) == 20.79
    assert relative_gain(30.0, 40.0) == pytest.approx(-0.25)


def test_the_two_averages_differ_where_baselines_do() -> None:
    found = average_gain([(30.0, 20.0), (80.0, 80.0)])
    assert (found.mean_of_ratios, found.ratio_of_means) == pytest.approx((0.25, 0.1))


@pytest.mark.parametrize(("value", "baseline"), [(40.0, 0.0), (40.0, -1.0), (math.nan, 40.0), (40.0, math.inf)])
def test_a_baseline_of_zero_has_no_relative_gain(value: float, baseline: float) -> None:
    with pytest.raises(ValueError, match="has no relative gain"):
        relative_gain(value, baseline)
    with pytest.raises(ValueError, match="has no relative gain"):
        average_gain([(50.0, 40.0), (value, baseline)])


def test_no_pair_has_no_average() -> None:
    with pytest.raises(ValueError, match="no pair"):
        average_gain([])
