"""Means with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its interval from `mean - half_width` to `mean + half_width`."""

    mean: float
    half_width: float | None
    """Half the width of the interval; None if there is only one value."""
    num_values: int

    @property
    def low(self) -> float | None:
        """The lower end, which may be below 0; None if there is no interval."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end, which may be above 1; None if there is no interval."""
        return None if self.half_width is None else self.mean + self.half_width


def mean_with_t_interval(values: Sequence[float], confidence: float = 0.95) -> MeanInterval:
    """The mean of independent values and its two-sided Student t-interval.

    The half-width is `t * s / sqrt(n)`: `s` is the sample standard deviation (divisor n - 1) and `t` the
    `(1 + confidence) / 2` quantile of the t-distribution with n - 1 degrees of freedom. A single value gives no
    interval. Over seeds, the interval measures the spread between seeds only, not the spread of the test questions,
    which all seeds share.

    Raises:
        ValueError: no values, a value that is not finite, or a confidence outside (0, 1).
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"need at least one value, all finite; got {list(values)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a fraction between 0 and 1")
    num_values = len(values)
    mean = math.fsum(values) / num_values
    if num_values == 1:
        return MeanInterval(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (num_values - 1)
    quantile = float(stats.t.ppf((1 + confidence) / 2, df=num_values - 1))
    return MeanInterval(mean, quantile * math.sqrt(variance / num_values), num_values)
