"""Many methods over many blocks by their ranks: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from scipy import stats

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class RankComparison:
    """The mean ranks of methods over blocks, and which of them differ."""

    mean_ranks: dict[str, float]
    """Method -> its mean rank, best first; 1 is the best rank, and equal results share the mean of their ranks."""
    num_blocks: int
    """The blocks behind each mean."""
    friedman: float
    """Friedman's statistic, corrected for ties."""
    p: float
    """The probability of such a statistic or a larger one where all methods are equal."""
    critical_difference: float
    """Two mean ranks that lie further apart than this differ, at the 5 % level."""
    groups: tuple[tuple[str, ...], ...]
    """The largest sets of neighbours, best first, within which no two differ."""


def compare_ranks(results: pd.DataFrame) -> RankComparison:
    """Ranks the methods (columns, a higher result is better) in every block (row).

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), section 3.2.2.

    Raises ValueError for fewer than two methods, for no block, and for a result that is missing.
    """
    num_blocks, num_methods = results.shape
    if num_methods < 2 or num_blocks < 1 or bool(results.isna().any(axis=None)):
        raise ValueError(f"{num_methods} methods in {num_blocks} whole blocks: ranks need 2 and 1, with every result")
    ranks = results.rank(axis=1, ascending=False)
    means = ranks.mean().sort_values(kind="stable")
    statistic = _friedman(ranks)
    difference = critical_difference(num_methods, num_blocks)
    mean_ranks = {str(name): float(rank) for name, rank in means.items()}
    return RankComparison(
        mean_ranks,
        num_blocks,
        statistic,
        float(stats.chi2.sf(statistic, num_methods - 1)),
        difference,
        _groups(mean_ranks, difference),
    )


def critical_difference(num_methods: int, num_blocks: int) -> float:
    """Nemenyi's critical difference of mean ranks, `q sqrt(k (k + 1) / (6 N))` for k methods and N blocks.

    `q` is the upper 5 % point of the studentised range of k means, with infinite degrees of freedom, over sqrt(2).
    """
    q = float(stats.studentized_range.ppf(1 - SIGNIFICANCE, num_methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(num_methods * (num_methods + 1) / (6 * num_blocks))


def _friedman(ranks: pd.DataFrame) -> float:
    """`(k - 1)` times the spread of the rank sums over the spread of all ranks; 0 where all results are equal.

    Without ties this is Friedman's own formula; with ties it is the form of Conover, Practical Nonparametric Statistics
    (1999), section 5.8.
    """
    num_blocks, num_methods = ranks.shape
    expected = num_blocks * (num_methods + 1) / 2
    of_ranks = float((ranks**2).to_numpy().sum()) - num_blocks * num_methods * (num_methods + 1) ** 2 / 4
    of_sums = float(((ranks.sum() - expected) ** 2).sum())
    return (num_methods - 1) * of_sums / of_ranks if of_ranks else 0.0


def _groups(mean_ranks: dict[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    names = list(mean_ranks)
    found: list[tuple[str, ...]] = []
    for first, name in enumerate(names):
        group = tuple(other for other in names[first:] if mean_ranks[other] - mean_ranks[name] <= difference)
        if len(group) > 1 and not (found and set(group) <= set(found[-1])):
            found.append(group)
    return tuple(found)
