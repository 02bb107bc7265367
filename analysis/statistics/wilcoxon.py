"""Wilcoxon's signed-rank test over seeds, Holm's correction, and how many seeds a family of comparisons needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy import stats

DECIMALS = 12
"""Differences are rounded to as many: 0.72 - 0.70 and 0.70 - 0.68 are equal, though their floats are not."""


@dataclass(frozen=True)
class SignedRank:
    """The two-sided exact test of whether differences lie around 0."""

    positive_rank_sum: float
    """The sum of the ranks of differences above 0."""
    num_differences: int
    """Differences that are not 0; the others are left out, as Wilcoxon (1945) does."""
    num_zeros: int
    """Differences that are 0."""
    p: float
    """The share of all ways to give the ranks signs that are as far from the middle; 1 if all differences are 0."""


def signed_rank(differences: Sequence[float]) -> SignedRank:
    """Wilcoxon's signed-rank test of one difference per seed, exact also with ties (mean ranks).

    It assumes differences that are symmetric around their middle, and no normal distribution. The p cannot be below
    `smallest_p(num_differences)`. Raises ValueError without a difference or for one that is not finite.
    """
    if len(differences) == 0 or not all(map(math.isfinite, differences)):
        raise ValueError(f"need at least one difference, all finite; got {list(differences)}")
    rounded = np.round(np.asarray(differences, dtype=float), DECIMALS)
    known = rounded[rounded != 0]
    ranks = stats.rankdata(np.abs(known))
    positive = float(ranks[known > 0].sum())
    return SignedRank(positive, len(known), len(rounded) - len(known), _exact_p(ranks, positive))


def smallest_p(num_differences: int) -> float:
    """The smallest two-sided p of the test: `2 / 2**n`, if all n differences have one sign and none is 0."""
    return min(1.0, 2.0 ** (1 - num_differences))


def seeds_needed(num_comparisons: int, level: float = 0.05) -> int:
    """The fewest seeds with which one of a family of comparisons can be significant after Holm: 9 for ten of them.

    Holm multiplies the smallest p of m by m. Raises ValueError for no comparison or a level outside (0, 1).
    """
    if num_comparisons < 1 or not 0 < level < 1:
        raise ValueError(
            f"num_comparisons is {num_comparisons} and level {level}; expected 1 or more, and a fraction in (0, 1)"
        )
    return next(seeds for seeds in count(1) if num_comparisons * smallest_p(seeds) <= level)


def cannot_reach(num_seeds: int, num_comparisons: int, level: float = 0.05) -> str | None:
    """A warning that no difference can be significant with so few seeds, and how many more are needed; None if one can.

    Raises ValueError as `seeds_needed` does.
    """
    needed = seeds_needed(num_comparisons, level)
    if num_seeds >= needed:
        return None
    return (
        f"With {_counted(num_seeds, 'seed')} no difference can be significant, however large: the smallest p of "
        f"Wilcoxon's test is {smallest_p(num_seeds):.2g}, and Holm over {_counted(num_comparisons, 'comparison')} asks "
        f"for {level / num_comparisons:.2g} or less. Run {_counted(needed - num_seeds, 'more seed')}: {needed} in all."
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values of one family, corrected by Holm (1979), in their order.

    The k-th smallest of m is multiplied by m - k + 1; none is above 1 or below the corrected one before it. A
    corrected p of at most 0.05 is significant at 5 % in the whole family. Raises ValueError for a p outside [0, 1].
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise ValueError(f"{wrong[0]} is no p value, expected a number from 0 to 1; leave out tests without one")
    ordered = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, least = [0.0] * len(p_values), 0.0
    for place, index in enumerate(ordered):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = least
    return corrected


def _exact_p(ranks: np.ndarray, positive: float) -> float:
    """The share of the `2**n` sign patterns whose sum of positive ranks is at least as far from its middle.

    Twice the ranks are whole numbers, with ties too. `patterns[s]` counts the patterns whose doubled sum is s.
    """
    doubled = np.round(2 * ranks).astype(int)
    patterns = np.ones(1)
    for rank in doubled:
        patterns = np.pad(patterns, (0, rank)) + np.pad(patterns, (rank, 0))
    distances = np.abs(np.arange(len(patterns)) - doubled.sum() / 2)
    as_far = distances >= abs(2 * positive - doubled.sum() / 2)
    return float(patterns[as_far].sum() / patterns.sum())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
