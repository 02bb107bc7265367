"""Outliers by quartiles, and the mean with and without them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WHISKER = 1.5
"""A value is an outlier if it lies this many interquartile ranges beyond the first or third quartile."""


@dataclass(frozen=True)
class TrimmedMean:
    """The mean of all runs beside the mean without outliers.

    It has no interval: a t-interval over the runs that are left takes their spread for that of all, and is too narrow.
    """

    of_all: float
    """The mean of all runs."""
    without_outliers: float
    """The mean of the runs within the whiskers."""
    outliers: tuple[float, ...]
    """The runs that were left out, in their order."""
    num_values: int
    """All runs."""


def inside_whiskers(values: Sequence[float]) -> NDArray[np.bool_]:
    """Which values lie within `WHISKER` interquartile ranges of the quartiles (linear, type 7 in R)."""
    first, third = np.quantile(values, [0.25, 0.75])
    reach = WHISKER * (third - first)
    found = np.asarray(values, dtype=float)
    return np.asarray((found >= first - reach) & (found <= third + reach))


def trimmed_mean(values: Sequence[float]) -> TrimmedMean:
    """The mean of all runs, and of the runs within the whiskers; of fewer than four runs none lies outside.

    Raises ValueError without a value or for one that is not finite.
    """
    if len(values) == 0 or not all(map(math.isfinite, values)):
        raise ValueError(f"need at least one value, all finite; got {list(values)}")
    inside = inside_whiskers(values)
    kept = [value for value, is_inside in zip(values, inside, strict=True) if is_inside]
    left_out = tuple(value for value, is_inside in zip(values, inside, strict=True) if not is_inside)
    return TrimmedMean(math.fsum(values) / len(values), math.fsum(kept) / len(kept), left_out, len(values))
