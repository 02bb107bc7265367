"""Two crossed choices, by hand and against statsmodels' least squares with an effect per seed."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.composition import Composition, composition
from analysis.statistics.intervals import MeanInterval

NEITHER = {1: 0.50, 2: 0.55, 3: 0.48, 4: 0.60, 5: 0.52}
ONLY_A = {1: 0.58, 2: 0.60, 3: 0.57, 4: 0.63, 5: 0.61}
ONLY_B = {1: 0.53, 2: 0.61, 3: 0.50, 4: 0.66, 5: 0.55}
BOTH = {1: 0.60, 2: 0.69, 3: 0.55, 4: 0.70, 5: 0.66}


@pytest.fixture
def found() -> Composition:
    return composition(NEITHER, ONLY_A, ONLY_B, BOTH)


def test_estimates_by_hand(found: Composition) -> None:
    # means: neither 0.530, only A 0.598, only B 0.570, both 0.640
    assert found.gain_of_a.mean == pytest.approx(0.068)
    assert found.gain_of_b.mean == pytest.approx(0.040)
    assert found.gain_of_both.mean == pytest.approx(0.110)
    assert found.main_effect_of_a.mean == pytest.approx((0.068 + 0.070) / 2)
    assert found.main_effect_of_b.mean == pytest.approx((0.040 + 0.042) / 2)
    assert found.interaction.mean == pytest.approx(0.110 - 0.068 - 0.040)
    assert found.interaction.num_values == 5


def test_all_estimates_are_those_of_least_squares_with_an_effect_per_seed(found: Composition) -> None:
    pytest.importorskip("statsmodels")
    import pandas as pd
    from statsmodels.formula.api import ols

    cells = [(NEITHER, 0, 0), (ONLY_A, 1, 0), (ONLY_B, 0, 1), (BOTH, 1, 1)]
    rows = [(seed, a, b, value) for arm, a, b in cells for seed, value in arm.items()]
    frame = pd.DataFrame(rows, columns=["seed", "a", "b", "value"])
    single = ols("value ~ C(seed) + a * b", data=frame).fit().params
    assert found.gain_of_a.mean == pytest.approx(single["a"])
    assert found.gain_of_b.mean == pytest.approx(single["b"])
    assert found.interaction.mean == pytest.approx(single["a:b"])
    main = ols("value ~ C(seed) + a + b", data=frame).fit().params
    assert (found.main_effect_of_a.mean, found.main_effect_of_b.mean) == pytest.approx((main["a"], main["b"]))


def off_and_on() -> dict[str, tuple[dict[int, float], dict[int, float]]]:
    def added(first: dict[int, float], second: dict[int, float], sign: int) -> dict[int, float]:
        return {seed: first[seed] + sign * second[seed] for seed in first}

    def halved(values: dict[int, float]) -> dict[int, float]:
        return {seed: value / 2 for seed, value in values.items()}

    return {
        "gain_of_a": (NEITHER, ONLY_A),
        "gain_of_b": (NEITHER, ONLY_B),
        "gain_of_both": (NEITHER, BOTH),
        "main_effect_of_a": (halved(added(NEITHER, ONLY_B, 1)), halved(added(ONLY_A, BOTH, 1))),
        "main_effect_of_b": (halved(added(NEITHER, ONLY_A, 1)), halved(added(ONLY_B, BOTH, 1))),
        "interaction": (added(ONLY_A, NEITHER, -1), added(BOTH, ONLY_B, -1)),
    }


@pytest.mark.parametrize("name", list(off_and_on()))
def test_each_interval_is_that_of_least_squares_with_an_effect_per_seed(name: str, found: Composition) -> None:
    """Off and on for one question at a time: two rows per seed, so that the residual is that effect's own."""
    pytest.importorskip("statsmodels")
    import pandas as pd
    from statsmodels.formula.api import ols

    rows = [(seed, on, value) for on, arm in enumerate(off_and_on()[name]) for seed, value in arm.items()]
    fitted = ols("value ~ C(seed) + on", data=pd.DataFrame(rows, columns=["seed", "on", "value"])).fit()
    interval: MeanInterval = getattr(found, name)
    assert interval.mean == pytest.approx(fitted.params["on"])
    assert (interval.low, interval.high) == pytest.approx(tuple(fitted.conf_int().loc["on"]))


def test_gains_that_add_up_have_no_interaction() -> None:
    generator = np.random.default_rng(0)
    base = {seed: float(value) for seed, value in enumerate(generator.normal(0.5, 0.1, 6))}
    neither, only_a, only_b, both = (
        {seed: value + gain for seed, value in base.items()} for gain in (0.0, 0.1, 0.05, 0.15)
    )
    found = composition(neither, only_a, only_b, both)
    assert (found.interaction.mean, found.interaction.half_width) == pytest.approx((0, 0), abs=1e-12)


def test_seeds_without_all_four_cells_are_named() -> None:
    found = composition({**NEITHER, 9: 0.5}, ONLY_A, {**ONLY_B, 0: 0.5}, {k: v for k, v in BOTH.items() if k != 2})
    assert found.left_out == (0, 2, 9)
    assert found.interaction.num_values == 4
    with pytest.raises(ValueError, match=r"none of the seeds \[1, 2\] has all four cells"):
        composition({1: 0.5}, {1: 0.5}, {2: 0.5}, {1: 0.5})
