"""How large a difference is, beside how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import gammaln


def cohens_d_z(differences: Sequence[float]) -> float:
    """The mean of paired differences over their sample standard deviation (Cohen, 1988); NaN if they do not vary.

    It grows where pairs agree with each other, so that it cannot be compared with the d of two separate groups. Raises
    ValueError for fewer than two differences or one that is not finite.
    """
    if len(differences) < 2 or not all(map(math.isfinite, differences)):
        raise ValueError(f"need at least two differences, all finite; got {list(differences)}")
    spread = float(np.std(differences, ddof=1))
    return float(np.mean(differences)) / spread if spread > 0 else math.nan


def hedges_g_z(differences: Sequence[float]) -> float:
    """`cohens_d_z` times `hedges_correction(n - 1)`, without its upward bias for few seeds. Raises as it does."""
    effect_size = cohens_d_z(differences)
    return hedges_correction(len(differences) - 1) * effect_size


def hedges_correction(degrees: int) -> float:
    """The exact factor of Hedges (1981): `gamma(f / 2) / (sqrt(f / 2) gamma((f - 1) / 2))`, near `1 - 3 / (4 f - 1)`.

    It is 0.80 for 4 degrees of freedom, and 0 for 1, where the mean of d does not exist. Raises ValueError below 1.
    """
    if degrees < 1:
        raise ValueError(f"degrees is {degrees}, expected at least 1 degree of freedom")
    if degrees == 1:
        return 0.0
    return math.exp(float(gammaln(degrees / 2) - gammaln((degrees - 1) / 2))) / math.sqrt(degrees / 2)


def vargha_delaney_a(first: Sequence[float], second: Sequence[float]) -> float:
    """How often a value of the first is above one of the second, ties counted half (Vargha and Delaney, 2000).

    In [0, 1]; 0.5 is no difference. Cliff's delta is `2 A - 1`.
    """
    return float(stats.mannwhitneyu(first, second).statistic / (len(first) * len(second)))
