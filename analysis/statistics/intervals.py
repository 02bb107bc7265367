"""Means with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special


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
    refuse_confidence_outside_0_and_1(confidence)
    num_values = len(values)
    mean = math.fsum(values) / num_values
    if num_values == 1:
        return MeanInterval(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (num_values - 1)
    half_width = t_quantile(confidence, num_values - 1) * math.sqrt(variance / num_values)
    return MeanInterval(mean, half_width, num_values)


def t_quantile(confidence: float, degrees: int) -> float:
    """The `(1 + confidence) / 2` quantile of the t-distribution: 4.303 at 0.95 and 2 degrees of freedom.

    Raises ValueError for a confidence outside (0, 1).
    """
    refuse_confidence_outside_0_and_1(confidence)
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def refuse_confidence_outside_0_and_1(confidence: float) -> None:
    """Raises ValueError for a confidence that no interval has."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a fraction between 0 and 1")
