"""Differences between two methods on the same seeds: of single values, and of whole learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.statistics.intervals import MeanInterval, mean_with_t_interval


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], confidence: float = 0.95
) -> MeanInterval | None:
    """The mean over shared seeds of (ours - theirs), with its two-sided t-interval; None without a shared seed.

    Seed -> value on both sides. The interval is that of `scipy.stats.ttest_rel`.
    """
    shared = sorted(ours.keys() & theirs.keys())
    return mean_with_t_interval([ours[seed] - theirs[seed] for seed in shared], confidence) if shared else None


def mean_gap(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]) -> float | None:
    """How far one curve lies above another on average, where both are known; None if they share no stretch.

    Curves are (x, y) points with x ascending, and straight lines between them. The gap is the area between the curves,
    with its sign, over the length of the shared stretch of x.
    """
    (x, y), (x_other, y_other) = (np.array(curve, dtype=float).T for curve in (ours, theirs))
    low, high = max(x[0], x_other[0]), min(x[-1], x_other[-1])
    if not low < high:
        return None
    knots = np.unique(np.clip(np.concatenate([x, x_other]), low, high))
    gaps = np.interp(knots, x, y) - np.interp(knots, x_other, y_other)
    return float(np.trapezoid(gaps, knots) / (high - low))
