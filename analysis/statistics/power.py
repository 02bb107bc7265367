"""How many seeds a paired t-test needs to see a difference."""

from __future__ import annotations

import math

from scipy import stats

MOST_SEEDS = 1_000_000


def paired_t_power(effect_size: float, num_seeds: int, level: float = 0.05) -> float:
    """The probability that a two-sided paired t-test is significant at `level`.

    `effect_size` is the true mean difference over the standard deviation of differences between seeds (d_z). From the
    noncentral t-distribution with n - 1 degrees of freedom and noncentrality `d_z sqrt(n)`. Raises ValueError for
    fewer than two seeds.
    """
    if num_seeds < 2:
        raise ValueError(f"a paired t-test needs at least two seeds, not {num_seeds}")
    degrees, shift = num_seeds - 1, abs(effect_size) * math.sqrt(num_seeds)
    critical = stats.t.ppf(1 - level / 2, degrees)
    # The lower tail is taken as the mirrored upper one: scipy's `nct.cdf` is NaN for some large effects.
    return float(stats.nct.sf(critical, degrees, shift) + stats.nct.sf(critical, degrees, -shift))


def seeds_for_power(difference: float, standard_deviation: float, power: float = 0.8, level: float = 0.05) -> int:
    """The fewest seeds with which a paired t-test finds a true mean difference with probability `power`.

    `standard_deviation` is that of the differences between seeds, in the unit of the difference. Both are guesses
    until seeds are run; from three seeds, the standard deviation may well be half or twice the truth.

    Raises:
        ValueError: a difference of 0 or so small that a million seeds are too few, a standard deviation that is not
            above 0, or a level and power that are not 0 < level < power < 1.
    """
    if not standard_deviation > 0:
        raise ValueError(f"standard_deviation is {standard_deviation}, expected a number above 0")
    if not 0 < level < power < 1:
        raise ValueError(f"level is {level} and power {power}; expected 0 < level < power < 1")
    effect_size = difference / standard_deviation
    most = 2
    while most <= MOST_SEEDS and paired_t_power(effect_size, most, level) < power:
        most *= 2
    if most > MOST_SEEDS:
        raise ValueError(
            f"a difference of {difference} with a standard deviation of {standard_deviation} needs more than "
            f"{MOST_SEEDS} seeds; ask for a larger difference"
        )
    too_few = most // 2
    while most - too_few > 1:
        middle = (most + too_few) // 2
        if paired_t_power(effect_size, middle, level) >= power:
            most = middle
        else:
            too_few = middle
    return most
