"""Power of a paired t-test against statsmodels, published sample sizes, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.power import paired_t_power, seeds_for_power

CASES = [(0.3, 40), (0.5, 10), (1.0, 5), (2.0, 3), (-0.8, 12), (0.0, 7)]


@pytest.mark.parametrize(("effect_size", "seeds"), CASES)
def test_the_power_is_that_of_statsmodels(effect_size: float, seeds: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    expected = power.TTestPower().power(abs(effect_size), seeds, 0.05)
    assert paired_t_power(effect_size, seeds) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("effect_size", [0.15, 0.4, 0.75, 1.3, 2.5])
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_the_number_of_seeds_is_that_of_statsmodels(effect_size: float, power: float) -> None:
    solver = pytest.importorskip("statsmodels.stats.power").TTestPower()
    found = seeds_for_power(effect_size * 0.02, 0.02, power=power)
    assert solver.power(effect_size, found, 0.05) >= power
    assert solver.power(effect_size, found - 1, 0.05) < power
    if found > 3:  # below, its solver does not converge
        assert found == math.ceil(float(solver.solve_power(effect_size, alpha=0.05, power=power)))


@pytest.mark.parametrize(("effect_size", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_published_sample_sizes(effect_size: float, seeds: int) -> None:
    """Small, medium and large effects of paired differences, as sample-size tables print them for power 0.8."""
    assert seeds_for_power(effect_size, 1.0) == seeds
    assert seeds_for_power(-effect_size, 1.0) == seeds


@pytest.mark.parametrize(("effect_size", "seeds"), [(1.5, 6), (6.0, 2), (20.0, 2)])
def test_a_simulation_finds_the_difference_as_often(effect_size: float, seeds: int) -> None:
    """The last two are NaN in statsmodels, which asks scipy for a tail that it cannot compute."""
    draws = np.random.default_rng(0).normal(effect_size, 1, (5000, seeds))
    found = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05)
    assert found == pytest.approx(paired_t_power(effect_size, seeds), abs=0.02)


def test_a_huge_effect_needs_two_or_three_seeds() -> None:
    assert (seeds_for_power(6.0, 1.0), seeds_for_power(20.0, 1.0)) == (3, 2)


def test_what_no_number_of_seeds_can_find_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1000000 seeds"):
        seeds_for_power(0.0, 0.02)
    with pytest.raises(ValueError, match="standard_deviation is 0"):
        seeds_for_power(0.02, 0)
    with pytest.raises(ValueError, match=r"level is 0.05 and power 0.01"):
        seeds_for_power(0.02, 0.02, power=0.01)
    with pytest.raises(ValueError, match="at least two seeds, not 1"):
        paired_t_power(1.0, 1)
