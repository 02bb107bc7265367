"""Do methods differ, and does it depend on the student? Two-way ANOVA and Tukey's test over whole runs.

The procedure of Honey, I Shrunk the Language Model (Hendriks et al., 2025; read off its released scripts): outliers by
quartiles may be left out, Levene's and Shapiro's tests look at the assumptions, sums of squares are of type II, and
Tukey's test compares all methods within each student. Runs count as independent: seeds are not paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from analysis.statistics.intervals import MeanInterval, mean_with_t_interval
from analysis.statistics.trimmed import inside_whiskers

METHOD, STUDENT, VALUE = "method", "student", "value"
"""The columns of a frame of runs: one row per run."""


@dataclass(frozen=True)
class Effect:
    """One row of an ANOVA table."""

    name: str
    """`method`, `student` or `method x student`."""
    f: float
    """The F value."""
    degrees: int
    """Its degrees of freedom."""
    residual_degrees: int
    """The degrees of freedom of the residuals."""
    p: float
    """The probability of such an F value, or a larger one, without an effect."""


@dataclass(frozen=True)
class TukeyPair:
    """Two methods within one student. Differences are in the unit of the values."""

    student: str
    """The student."""
    first: str
    """The method whose mean is taken away."""
    second: str
    """The method whose mean it is taken away from."""
    difference: float
    """The second method's mean less the first one's."""
    low: float
    """The lower end of the simultaneous 95 % interval."""
    high: float
    """The upper end."""
    p: float
    """Adjusted for all pairs of the student."""


@dataclass(frozen=True)
class Assumptions:
    """Tests of what an ANOVA assumes; a small p speaks against it."""

    levene_p: float
    """Levene's test, around medians: equal variances in all cells."""
    shapiro_p: float
    """Shapiro and Wilk's test: normal residuals."""


def whole_grid(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """(the runs of methods that have at least two with every student, the names of the other methods)."""
    counts = runs.groupby([METHOD, STUDENT]).size().unstack(fill_value=0)
    repeated = counts[(counts >= 2).any(axis=1)]  # a reference that was run once says nothing of how runs vary
    students = repeated.columns[(repeated >= 2).any()]
    kept = set(repeated.index[(repeated[students] >= 2).all(axis=1)])
    inside = runs[runs[METHOD].isin(kept) & runs[STUDENT].isin(students)]
    return inside, [name for name in dict.fromkeys(runs[METHOD]) if name not in kept]


def without_outliers(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that `inside_whiskers` keeps, each judged in its own cell."""
    inside = runs.groupby([STUDENT, METHOD], sort=False)[VALUE].transform(lambda values: inside_whiskers(list(values)))
    return runs[inside.astype(bool)]


def cell_means(runs: pd.DataFrame) -> dict[tuple[str, str], MeanInterval]:
    """(student, method) -> mean with a 95 % t-interval over runs."""
    groups = runs.groupby([STUDENT, METHOD], sort=False)[VALUE]
    return {(str(student), str(method)): mean_with_t_interval(list(of)) for (student, method), of in groups}


def two_way(runs: pd.DataFrame) -> list[Effect]:
    """The effects of method, student and both together, with sums of squares of type II.

    With one student it is a one-way ANOVA. Raises ValueError where a cell is empty or nothing varies within the cells.
    """
    _refuse_unfit(runs)
    from statsmodels.stats.anova import anova_lm

    has_students = runs[STUDENT].nunique() > 1
    table = anova_lm(_fitted(runs), typ=2)
    names = {f"C({METHOD})": "method", f"C({STUDENT})": "student", f"C({METHOD}):C({STUDENT})": "method x student"}
    residual = int(table.loc["Residual", "df"])
    return [
        Effect(name, float(row["F"]), int(row["df"]), residual, float(row["PR(>F)"]))
        for term, name in names.items()
        if has_students or name == "method"
        for row in [table.loc[term]]
    ]


def assumptions(runs: pd.DataFrame) -> Assumptions:
    """Levene's test over all cells, and Shapiro and Wilk's over the residuals."""
    from scipy.stats import levene, shapiro

    _refuse_unfit(runs)
    cells = [list(of) for _, of in runs.groupby([STUDENT, METHOD], sort=False)[VALUE]]
    residuals = runs[VALUE] - runs.groupby([STUDENT, METHOD], sort=False)[VALUE].transform("mean")
    return Assumptions(float(levene(*cells, center="median").pvalue), float(shapiro(residuals).pvalue))


def tukey(runs: pd.DataFrame) -> list[TukeyPair]:
    """All pairs of methods within each student (Tukey and Kramer)."""
    from scipy.stats import tukey_hsd

    found = []
    for student, of_student in runs.groupby(STUDENT, sort=False):
        methods = list(dict.fromkeys(of_student[METHOD]))
        if len(methods) < 2:
            continue
        result = tukey_hsd(*(of_student.loc[of_student[METHOD] == method, VALUE] for method in methods))
        interval = result.confidence_interval(0.95)
        for i, j in combinations(range(len(methods)), 2):
            found.append(
                TukeyPair(
                    str(student), methods[i], methods[j], float(result.statistic[j, i]),
                    float(interval.low[j, i]), float(interval.high[j, i]), float(result.pvalue[j, i]),
                )
            )  # fmt: skip
    return found


def _fitted(runs: pd.DataFrame) -> Any:
    from statsmodels.formula.api import ols

    both = f"C({METHOD}) * C({STUDENT})" if runs[STUDENT].nunique() > 1 else f"C({METHOD})"
    return ols(f"{VALUE} ~ {both}", data=runs).fit()


def _refuse_unfit(runs: pd.DataFrame) -> None:
    methods, students = _distinct(runs[METHOD]), _distinct(runs[STUDENT])
    if len(methods) < 2:
        raise ValueError(f"an analysis of variance compares at least two methods; there is {', '.join(methods)}")
    sizes = runs.groupby([METHOD, STUDENT])[VALUE].size()
    for method in methods:
        for student in students:
            if (method, student) not in sizes.index:
                raise ValueError(f"{method} was not run with {student}; leave out one of them")
    if sizes.max() < 2 or runs.groupby([METHOD, STUDENT])[VALUE].var().fillna(0).sum() == 0:
        raise ValueError("no method has two runs that differ, so that nothing says how far runs vary")


def _distinct(values: pd.Series) -> Sequence[str]:
    return [str(value) for value in dict.fromkeys(values)]
