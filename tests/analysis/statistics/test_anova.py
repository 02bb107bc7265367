"""Analysis of variance, against the released runs of Honey and against the textbook."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy.stats import f_oneway

pytest.importorskip("statsmodels")

from analysis.statistics.anova import assumptions, cell_means, tukey, two_way, without_outliers

# Every run of the four students of the paper's main comparison (authors' released table; CommonsenseQA test, %).
RUNS = {
    ("220M", "CF"): (60.52, 52.17, 51.19, 52.17, 54.63, 48.32),
    ("220M", "MT"): (65.11, 63.23, 50.78, 64.54, 64.95, 63.96),
    ("220M", "MT+CF"): (64.46, 60.20, 59.62, 59.30, 59.38, 55.77),
    ("220M", "MT+CF revised"): (64.05, 62.08, 61.26, 60.77, 60.93, 62.57),
    ("770M", "CF"): (70.35, 68.80, 67.73, 70.93, 51.11, 68.80),
    ("770M", "MT"): (76.17, 75.92, 74.86, 74.61, 76.25),
    ("770M", "MT+CF"): (76.49, 75.68, 74.94, 76.33, 72.48),
    ("770M", "MT+CF revised"): (76.49, 73.22, 73.71, 73.22, 73.96, 74.20),
}
ALL_RUNS = {  # mean, number, standard deviation
    ("220M", "CF"): (53.17, 6, 4.14),
    ("220M", "MT"): (62.09, 6, 5.59),
    ("220M", "MT+CF"): (59.79, 6, 2.78),
    ("220M", "MT+CF revised"): (61.94, 6, 1.24),
    ("770M", "CF"): (66.28, 6, 7.53),
    ("770M", "MT"): (75.56, 5, 0.77),
    ("770M", "MT+CF"): (75.18, 5, 1.63),
    ("770M", "MT+CF revised"): (74.13, 6, 1.22),
}
INSIDE = {
    ("220M", "CF"): (51.70, 5, 2.27),
    ("220M", "MT"): (64.36, 5, 0.77),
    ("220M", "MT+CF"): (59.62, 4, 0.41),
    ("220M", "MT+CF revised"): (61.94, 6, 1.24),
    ("770M", "CF"): (69.32, 5, 1.30),
    ("770M", "MT"): (75.56, 5, 0.77),
    ("770M", "MT+CF"): (75.86, 4, 0.71),
    ("770M", "MT+CF revised"): (73.66, 5, 0.44),
}


def frame(runs: dict[tuple[str, str], tuple[float, ...]] = RUNS) -> pd.DataFrame:
    rows = [(student, method, value) for (student, method), values in runs.items() for value in values]
    return pd.DataFrame(rows, columns=["student", "method", "value"])


@pytest.mark.parametrize(("runs", "published"), [(frame(), ALL_RUNS), (without_outliers(frame()), INSIDE)])
def test_the_means_are_those_of_the_authors(
    runs: pd.DataFrame, published: dict[tuple[str, str], tuple[float, int, float]]
) -> None:
    found = cell_means(runs)
    assert found.keys() == published.keys()
    for cell, (mean, number, deviation) in published.items():
        values = runs.loc[(runs["student"] == cell[0]) & (runs["method"] == cell[1]), "value"]
        assert found[cell].mean == pytest.approx(mean, abs=0.0101), cell
        assert (found[cell].num_values, float(values.std())) == (number, pytest.approx(deviation, abs=0.0101)), cell


def test_the_f_values_are_those_of_the_authors_procedure() -> None:
    found = {effect.name: effect for effect in two_way(without_outliers(frame()))}
    for name, f, degrees, p in (
        ("method", 124.2, 3, 2.3e-17),
        ("student", 1392.1, 1, 2.5e-27),
        ("method x student", 18.55, 3, 4.4e-7),
    ):
        assert found[name].f == pytest.approx(f, rel=1e-3)
        assert (found[name].degrees, found[name].residual_degrees) == (degrees, 31)
        assert found[name].p == pytest.approx(p, rel=0.05)


def test_tukeys_pairs_are_those_of_the_authors_procedure() -> None:
    found = {(pair.student, pair.first, pair.second): pair for pair in tukey(without_outliers(frame()))}
    assert len(found) == 12
    for key, difference, p in (
        (("220M", "MT", "MT+CF"), -4.73, 0.0006),
        (("220M", "MT", "MT+CF revised"), -2.41, 0.051),
        (("220M", "MT+CF", "MT+CF revised"), 2.32, 0.086),
        (("770M", "MT", "MT+CF"), 0.30, 0.96),
        (("770M", "MT", "MT+CF revised"), -1.90, 0.017),
        (("770M", "MT+CF", "MT+CF revised"), -2.20, 0.009),
    ):
        assert found[key].difference == pytest.approx(difference, abs=0.0101), key
        assert found[key].p == pytest.approx(p, rel=0.06), key
        assert found[key].low < found[key].difference < found[key].high
    assert all(pair.p < 0.001 for key, pair in found.items() if key[1] == "CF")


def test_one_student_makes_it_a_one_way_analysis() -> None:
    runs = frame()[lambda rows: rows["student"] == "220M"]
    [effect] = two_way(runs)
    expected = f_oneway(*(of["value"] for _, of in runs.groupby("method")))
    assert effect.name == "method"
    assert (effect.f, effect.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_an_outlier_is_judged_in_its_own_cell() -> None:
    kept = without_outliers(frame({("a", "x"): (1.0, 2.0, 3.0, 4.0, 100.0), ("a", "y"): (100.0, 101.0, 102.0)}))
    assert list(kept["value"]) == [1.0, 2.0, 3.0, 4.0, 100.0, 101.0, 102.0]


def test_what_an_analysis_assumes_is_tested() -> None:
    tame = frame({("a", "x"): (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), ("a", "y"): (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)})
    wild = frame({("a", "x"): (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), ("a", "y"): (0.0, 0.0, 0.0, 0.1, 0.0, 500.0)})
    assert assumptions(tame).levene_p == pytest.approx(1)
    assert assumptions(tame).shapiro_p > 0.05 > assumptions(wild).shapiro_p


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({("a", "x"): (1.0, 2.0)}, "compares at least two methods; there is x"),
        ({("a", "x"): (1.0, 2.0), ("a", "y"): (1.0, 2.0), ("b", "x"): (3.0, 4.0)}, "y was not run with b"),
        ({("a", "x"): (1.0,), ("a", "y"): (2.0,)}, "no method has two runs that differ"),
        ({("a", "x"): (1.0, 1.0), ("a", "y"): (2.0, 2.0)}, "no method has two runs that differ"),
    ],
)
def test_runs_that_decide_nothing_are_refused(runs: dict[tuple[str, str], tuple[float, ...]], said: str) -> None:
    for analysis in (two_way, assumptions):
        with pytest.raises(ValueError, match=said):
            analysis(frame(runs))
