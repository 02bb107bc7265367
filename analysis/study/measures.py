"""Statistics of ratings. The ratings of one person are not independent; each function says what it assumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.statistics.effect_sizes import vargha_delaney_a
from analysis.statistics.wilcoxon import holm
from analysis.study.constructs import NAMES, QUALITY

RESAMPLES = 2000


@dataclass(frozen=True)
class MeanRating:
    """The mean rating of one method on one construct."""

    method: str
    """The method."""
    construct: str
    """The construct, or `quality`."""
    mean: float
    """The mean over all ratings, from 1 to 5."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    standard_deviation: float
    """Of single ratings; NaN for one."""
    count: int
    """Number of ratings."""


@dataclass(frozen=True)
class KruskalWallis:
    """Whether methods differ on one construct."""

    construct: str
    """The construct, or `quality`."""
    h: float
    """The statistic, corrected for ties."""
    degrees: int
    """Its degrees of freedom."""
    p: float
    """Its probability without a difference."""
    p_holm: float
    """The same, corrected by Holm over the five constructs; that of `quality`, which is made of them, is not."""


@dataclass(frozen=True)
class DunnPair:
    """Two methods on one construct."""

    construct: str
    """The construct, or `quality`."""
    first: str
    """A method."""
    second: str
    """Another one."""
    a: float
    """Vargha-Delaney A: how often a rating of the second is above one of the first, ties half; 0.5 is none."""
    p: float
    """Dunn's test, not corrected."""
    p_bonferroni: float
    """Corrected by Bonferroni over the construct's pairs."""
    p_holm: float
    """Corrected by Holm over them."""


@dataclass(frozen=True)
class Coefficient:
    """One term of a model of quality."""

    model: str
    """`linear` or `mixed`."""
    term: str
    """A method, compared with the reference, or `length`, per 100 characters."""
    estimate: float
    """In points of the scale."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    p: float
    """Its probability without an effect."""


def cronbach_alpha(ratings: pd.DataFrame) -> float:
    """Cronbach's alpha of the five constructs over all ratings (Cronbach, 1951); NaN where nothing varies.

    `k / (k - 1) * (1 - sum of the constructs' variances / variance of their sum)`: near 1, they measure one thing.
    """
    table = ratings[list(NAMES)].to_numpy(dtype=float)
    total = table.sum(axis=1).var(ddof=1) if len(table) > 1 else 0.0
    if total == 0:
        return float("nan")
    count = table.shape[1]
    return float(count / (count - 1) * (1 - table.var(axis=0, ddof=1).sum() / total))


def krippendorff_alpha(ratings: pd.DataFrame, construct: str) -> float:
    """Krippendorff's alpha over people who rated the same explanation: 1 is agreement, 0 is chance.

    Ordinal for a construct, interval for `quality`. NaN where no explanation was rated twice, or nothing varies.
    """
    import krippendorff

    table = ratings.pivot(index="participant", columns="item", values=construct).to_numpy(dtype=float)
    several = (~np.isnan(table)).sum(axis=0) >= 2
    shared = table[:, several]
    values = shared[~np.isnan(shared)]
    if values.size == 0 or np.ptp(values) == 0:
        return float("nan")
    level: Literal["interval", "ordinal"] = "interval" if construct == QUALITY else "ordinal"
    return float(krippendorff.alpha(reliability_data=shared, level_of_measurement=level))


def mean_ratings(ratings: pd.DataFrame, methods: Sequence[str], seed: int = 0) -> list[MeanRating]:
    """The mean per method and construct, with percentile intervals from people drawn anew, with all their ratings."""
    people = ratings["participant"].unique()
    weights = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), RESAMPLES)
    found = []
    for method in methods:
        rows = ratings[ratings["method"] == method]
        if rows.empty:
            continue
        for construct in (*NAMES, QUALITY):
            by_person = rows.groupby("participant")[construct]
            sums = by_person.sum().reindex(people, fill_value=0).to_numpy(dtype=float)
            counts = by_person.count().reindex(people, fill_value=0).to_numpy(dtype=float)
            drawn = weights @ counts
            means = (weights @ sums)[drawn > 0] / drawn[drawn > 0]
            low, high = np.quantile(means, [0.025, 0.975])
            values = rows[construct]
            found.append(
                MeanRating(
                    method, construct, float(values.mean()), float(low), float(high), float(values.std()), len(values)
                )
            )
    return found


def kruskal_wallis(ratings: pd.DataFrame, methods: Sequence[str]) -> list[KruskalWallis]:
    """The Kruskal-Wallis test per construct and on quality. It takes all ratings as independent."""
    from scipy.stats import kruskal

    found = []
    for construct in (*NAMES, QUALITY):
        if ratings[construct].nunique() < 2:
            found.append((construct, float("nan"), float("nan")))
            continue
        result = kruskal(*(_values(ratings, method, construct) for method in methods))
        found.append((construct, float(result.statistic), float(result.pvalue)))
    known = [p for _, _, p in found[:-1] if not np.isnan(p)]
    corrected = iter(holm(known))
    degrees = len(methods) - 1
    return [
        KruskalWallis(
            construct, h, degrees, p, p if construct == QUALITY or np.isnan(p) else next(corrected)
        )
        for construct, h, p in found
    ]  # fmt: skip


def dunn(ratings: pd.DataFrame, methods: Sequence[str]) -> list[DunnPair]:
    """Dunn's test and the Vargha-Delaney A for all pairs of methods, per construct and on quality.

    It takes all ratings as independent, as the paper does. Constructs on which nothing varies are left out.
    """
    from scikit_posthocs import posthoc_dunn

    found = []
    for construct in (*NAMES, QUALITY):
        if ratings[construct].nunique() < 2:
            continue
        tables = [
            posthoc_dunn(ratings, val_col=construct, group_col="method", p_adjust=adjust)
            for adjust in (None, "bonferroni", "holm")
        ]
        for first, second in combinations(methods, 2):
            a = vargha_delaney_a(_values(ratings, second, construct), _values(ratings, first, construct))
            p, bonferroni, holm = (float(table.loc[first, second]) for table in tables)
            found.append(DunnPair(construct, first, second, a, p, bonferroni, holm))
    return found


def models_of_quality(ratings: pd.DataFrame, methods: Sequence[str]) -> tuple[list[Coefficient], list[str]]:
    """Quality by method and length: least squares, as in the paper, and with an effect of each participant.

    Returns the coefficients of both models, compared with the first method, and what a reader must know of them. A
    mixed model that does not converge is left out, and a line says so.
    """
    from statsmodels.formula.api import ols

    frame = pd.DataFrame(
        {
            QUALITY: ratings[QUALITY].astype(float),
            "method": pd.Categorical(ratings["method"], categories=list(methods)),
            "length": ratings["length"] / 100,
            "participant": ratings["participant"],
        }
    )
    formula = f"{QUALITY} ~ C(method)" + (" + length" if frame["length"].nunique() > 1 else "")
    linear = ols(formula, data=frame).fit()
    notes = [f"linear model: {len(frame)} ratings, R² = {linear.rsquared:.3f}; it takes all ratings as independent"]
    found = _coefficients("linear", linear, list(linear.params.index))
    mixed, note = _mixed(formula, frame)
    notes.append(note)
    return found + ([] if mixed is None else _coefficients("mixed", mixed, list(linear.params.index))), notes


def _mixed(formula: str, frame: pd.DataFrame) -> tuple[Any | None, str]:
    import warnings

    from statsmodels.formula.api import mixedlm

    if frame["participant"].nunique() < 2 or frame.groupby("participant").size().max() < 2:
        return None, "no mixed model: it needs people who rated several explanations"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is looked at below
        try:
            fitted = mixedlm(formula, data=frame, groups=frame["participant"]).fit()
        except (np.linalg.LinAlgError, ValueError) as error:
            return None, f"no mixed model: it cannot be fitted ({error})"
    if not fitted.converged or not np.isfinite(fitted.bse_fe).all():
        return None, "no mixed model: its fit does not converge"
    person = float(fitted.cov_re.iloc[0, 0])
    share = person / (person + fitted.scale)
    return fitted, f"mixed model: {100 * share:.0f} % of the variance that is left lies between participants"


def _coefficients(model: str, fitted: Any, terms: Sequence[str]) -> list[Coefficient]:
    intervals = fitted.conf_int()
    return [
        Coefficient(
            model, _plain(term), float(fitted.params[term]), float(intervals.loc[term].iloc[0]),
            float(intervals.loc[term].iloc[1]), float(fitted.pvalues[term]),
        )
        for term in terms
        if term != "Intercept"
    ]  # fmt: skip


def _plain(term: str) -> str:
    return term.removeprefix("C(method)[T.").removesuffix("]")


def _values(ratings: pd.DataFrame, method: str, construct: str) -> list[float]:
    return [float(value) for value in ratings.loc[ratings["method"] == method, construct]]
