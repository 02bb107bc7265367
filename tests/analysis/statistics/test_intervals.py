"""Closed forms of the interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.intervals import mean_with_t_interval


def test_three_values_by_hand() -> None:
    # mean 0.8, s = 0.1, t(0.975, 2 degrees of freedom) = 4.302653: half-width 4.302653 * 0.1 / sqrt(3)
    interval = mean_with_t_interval([0.7, 0.8, 0.9])
    assert interval.mean == pytest.approx(0.8)
    assert interval.half_width == pytest.approx(0.2484138, abs=1e-6)
    assert (interval.low, interval.high) == pytest.approx((0.5515862, 1.0484138), abs=1e-6)


@pytest.mark.parametrize("num_values", [2, 3, 10])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_agrees_with_scipy(num_values: int, confidence: float) -> None:
    values = np.random.default_rng(num_values).uniform(size=num_values).tolist()
    interval = mean_with_t_interval(values, confidence)
    expected = stats.t.interval(confidence, df=num_values - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.1, size=(2000, 3)).tolist()
    intervals = [mean_with_t_interval(draw) for draw in draws]
    covered = np.mean([abs(interval.mean - 0.5) <= (interval.half_width or 0) for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_one_value_has_no_interval() -> None:
    interval = mean_with_t_interval([0.4])
    assert (interval.mean, interval.half_width, interval.low, interval.high) == (0.4, None, None, None)


def test_equal_values_have_no_width() -> None:
    assert mean_with_t_interval([0.1, 0.1, 0.1]).half_width == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [float("inf")]])
def test_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="all finite"):
        mean_with_t_interval(values)
