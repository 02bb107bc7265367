"""Outliers by quartiles: published runs, and the rule of R."""

from __future__ import annotations

import pytest

from analysis.statistics.trimmed import inside_whiskers, trimmed_mean


def test_the_published_runs_of_honey() -> None:
    """CommonsenseQA, 770M, counterfactual: 66.28 of six runs, 69.32 without one (the authors' table)."""
    found = trimmed_mean([70.35, 68.80, 67.73, 70.93, 51.11, 68.80])
    assert (found.of_all, found.without_outliers) == pytest.approx((66.28, 69.32), abs=0.011)
    assert (found.outliers, found.num_values) == ((51.11,), 6)


def test_the_rule_is_that_of_rs_type_7() -> None:
    """Quartiles of 1, 2, 3, 4, x are 2 and 4 for x of at least 4: above 7 lies an outlier, and 7 itself is none."""
    assert list(inside_whiskers([1, 2, 3, 4, 7])) == [True] * 5
    assert list(inside_whiskers([1, 2, 3, 4, 7.01])) == [True] * 4 + [False]
    assert list(inside_whiskers([-1.01, 2, 3, 4, 5])) == [False] + [True] * 4


def test_of_three_runs_none_is_an_outlier_and_of_four_one_may_be() -> None:
    assert trimmed_mean([0.0, 0.0, 100.0]).outliers == ()
    assert trimmed_mean([0.0, 0.0, 0.0, 100.0]).outliers == (100.0,)


def test_equal_runs_are_all_kept() -> None:
    found = trimmed_mean([0.1, 0.1, 0.1])
    assert found.of_all == found.without_outliers == pytest.approx(0.1)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        trimmed_mean(values)
