"""A bootstrap that draws whole clusters: questions with all their samples or variations.

Valid for one seed and many clusters, about 50 or more: with few of them, percentile intervals are too narrow. It draws
no seeds, so that it says nothing about a new seed; `crossed.py` does. A plain bootstrap of seeds and
questions together covers too rarely with 3 to 10 seeds (docs/statistics.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import refuse_confidence_outside_0_and_1

RESAMPLES = 10_000
Clusters = Mapping[str, Sequence[float]]
"""Cluster (as a rule a question) -> its values."""
Totals = NDArray[np.float64]
"""One row per cluster or resample: sum and number of values, and for a difference the same of the other method."""


@dataclass(frozen=True)
class BootstrapInterval:
    """A mean or a difference of means, with its percentile interval."""

    mean: float
    """Of all values, so that a cluster counts as often as it has values; for a difference, ours less theirs."""
    low: float
    """The lower end."""
    high: float
    """The upper end."""
    standard_error: float
    """The standard deviation of the resampled means."""
    num_clusters: int
    """Clusters."""
    resamples: int
    """How often all clusters were drawn anew."""
    seed: int
    """The seed of the draws: the same seed gives the same interval."""


def bootstrap_mean(
    values: Clusters, seed: int, confidence: float = 0.95, resamples: int = RESAMPLES
) -> BootstrapInterval:
    """The mean of all values, and its percentile interval for new clusters (Efron, 1979; Davison and Hinkley, 1997).

    Raises ValueError for fewer than two clusters, an empty one, a value that is not finite, a confidence outside (0,
    1), or fewer than one resample.
    """
    return _interval(_totals(values), seed, confidence, resamples)


def bootstrap_difference(
    ours: Clusters, theirs: Clusters, seed: int, confidence: float = 0.95, resamples: int = RESAMPLES
) -> BootstrapInterval:
    """Our mean less theirs, paired: a resample draws a cluster's values of both. Raises as `bootstrap_mean` does.

    Raises ValueError also where one of the two lacks a cluster.
    """
    return _interval(_paired_totals(ours, theirs), seed, confidence, resamples)


def standard_error_of_mean(values: Clusters) -> float:
    """The closed form of the bootstrap's standard error, without draws.

    With G clusters of sums `s` and numbers `n`, and the mean `m`: the standard deviation of `(s - m n) / mean(n)` over
    `sqrt(G)`, as for every ratio of sums (Cochran, *Sampling Techniques*, 1977, chapter 6). With one value per cluster
    it is the usual one. Raises as `bootstrap_mean` does.
    """
    return _closed_form(_totals(values))


def standard_error_of_difference(ours: Clusters, theirs: Clusters) -> float:
    """The same for our mean less theirs, paired. Raises as `bootstrap_difference` does."""
    return _closed_form(_paired_totals(ours, theirs))


def _interval(totals: Totals, seed: int, confidence: float, resamples: int) -> BootstrapInterval:
    refuse_confidence_outside_0_and_1(confidence)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, expected at least 1; {RESAMPLES} is usual")
    generator, count = np.random.default_rng(seed), len(totals)
    drawn = np.array([totals[generator.integers(count, size=count)].sum(axis=0) for _ in range(resamples)])
    estimates = _estimates(drawn)
    low, high = np.quantile(estimates, [(1 - confidence) / 2, (1 + confidence) / 2])
    mean = float(_estimates(totals.sum(axis=0)[None])[0])
    return BootstrapInterval(mean, float(low), float(high), float(estimates.std()), count, resamples, seed)


def _estimates(totals: Totals) -> NDArray[np.float64]:
    """Per row, the mean or the difference of means."""
    means = totals[:, 0::2] / totals[:, 1::2]
    return np.asarray(means[:, 0] - means[:, 1] if means.shape[1] == 2 else means[:, 0])


def _closed_form(totals: Totals) -> float:
    sums, numbers = totals[:, 0::2], totals[:, 1::2]
    influences = (sums - sums.sum(axis=0) / numbers.sum(axis=0) * numbers) / numbers.mean(axis=0)
    of_estimate = influences[:, 0] - influences[:, 1] if influences.shape[1] == 2 else influences[:, 0]
    return float(of_estimate.std(ddof=1) / math.sqrt(len(totals)))


def _totals(values: Clusters) -> Totals:
    if len(values) < 2:
        raise ValueError(f"a bootstrap draws clusters anew, so that it needs at least two; there is {len(values)}")
    unfit = [name for name, of in values.items() if len(of) == 0 or not all(map(math.isfinite, of))]
    if unfit:
        raise ValueError(
            f"{len(unfit)} of {len(values)} clusters are empty or hold a value that is not finite, such as {unfit[0]!r}"
        )
    return np.array([(math.fsum(values[name]), len(values[name])) for name in sorted(values)])


def _paired_totals(ours: Clusters, theirs: Clusters) -> Totals:
    if ours.keys() != theirs.keys():
        raise ValueError(
            f"{len(ours.keys() - theirs.keys())} clusters are ours alone and {len(theirs.keys() - ours.keys())} theirs "
            f"alone, {len(ours.keys() & theirs.keys())} are shared; compare on the shared ones"
        )
    return np.hstack([_totals(ours), _totals(theirs)])
