"""The signed-rank test and Holm's correction against scipy, statsmodels and all patterns of signs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.wilcoxon import cannot_reach, holm, seeds_needed, signed_rank, smallest_p

WITHOUT_TIES = [
    [0.021, -0.004, 0.013, 0.035, 0.002],
    [0.05, -0.01, 0.02, 0.03, -0.04, 0.07, 0.015, 0.001, 0.09, -0.033],
    [-0.01, -0.02, -0.03],
]
WITH_TIES = [
    [0.02, 0.02, -0.01, 0.03, 0.03, -0.02],
    [0.01, 0.01, 0.01, 0.01],
    [0.02, -0.02, 0.01, 0.04, 0.04, 0.04, -0.01],
]
FAMILIES = [
    [0.01, 0.04, 0.03, 0.005],
    [0.5, 0.5, 0.001],
    [0.04],
    [0.0039, 0.0039, 0.9, 0.02, 0.011, 0.3],
    [1.0, 0.2, 0.0],
]


@pytest.mark.parametrize("differences", WITHOUT_TIES)
def test_without_ties_the_p_is_scipys_exact_one(differences: list[float]) -> None:
    expected = stats.wilcoxon(differences, method="exact")
    found = signed_rank(differences)
    assert found.p == pytest.approx(expected.pvalue)
    assert min(found.positive_rank_sum, sum(range(1, len(differences) + 1)) - found.positive_rank_sum) == (
        expected.statistic
    )


@pytest.mark.parametrize("differences", WITH_TIES)
def test_with_ties_the_p_is_that_of_all_patterns_of_signs(differences: list[float]) -> None:
    expected = stats.wilcoxon(differences, method=stats.PermutationMethod(n_resamples=10_000)).pvalue
    assert signed_rank(differences).p == pytest.approx(expected)
    ranks = stats.rankdata(np.abs(differences))
    sums = np.array([ranks @ np.array(signs) for signs in product([-1, 1], repeat=len(ranks))])
    seen = ranks @ np.sign(differences)
    assert signed_rank(differences).p == pytest.approx(np.mean(abs(sums) >= abs(seen)))


def test_equal_differences_are_ties_although_their_floats_differ() -> None:
    first, second = 0.72 - 0.70, 0.70 - 0.68
    assert first != second
    assert signed_rank([first, -second, 0.05]) == signed_rank([0.02, -0.02, 0.05])


def test_differences_of_zero_are_left_out_and_counted() -> None:
    found, without = signed_rank([0.0, 0.01, 0.02, 0.1 + 0.2 - 0.3]), signed_rank([0.01, 0.02])
    assert (found.num_differences, found.num_zeros, found.p) == (2, 2, without.p)
    assert signed_rank([0.0, 0.0]).p == 1.0


@pytest.mark.parametrize("num_seeds", [1, 2, 5, 9, 12])
def test_no_p_is_below_the_smallest_one(num_seeds: int) -> None:
    differences = [0.01 * (seed + 1) for seed in range(num_seeds)]
    assert signed_rank(differences).p == pytest.approx(smallest_p(num_seeds)) == pytest.approx(2 / 2**num_seeds)


def test_without_a_difference_there_is_no_test() -> None:
    for differences in ([], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="at least one difference"):
            signed_rank(differences)


@pytest.mark.parametrize("p_values", FAMILIES)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p_values) == pytest.approx(list(multitest.multipletests(p_values, method="holm")[1]))


def test_holm_by_hand() -> None:
    # 0.005 * 4, 0.01 * 3, then 0.03 * 2, and 0.04 * 1, which may not be below 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    with pytest.raises(ValueError, match="nan is no p value"):
        holm([0.1, float("nan")])


@pytest.mark.parametrize(
    ("comparisons", "needed"), [(1, 6), (2, 7), (3, 7), (4, 8), (9, 9), (10, 9), (13, 10), (45, 11)]
)
def test_as_many_seeds_as_a_family_needs_reach_significance_and_one_less_does_not(
    comparisons: int, needed: int
) -> None:
    """Ten methods need nine seeds, whether a family has nine comparisons with a baseline or ten."""
    assert seeds_needed(comparisons) == needed

    def corrected(seeds: int) -> float:
        best = signed_rank([0.01 * (seed + 1) for seed in range(seeds)]).p
        return holm([best, *[1.0] * (comparisons - 1)])[0]

    assert corrected(needed) <= 0.05 < corrected(needed - 1)


def test_a_warning_says_how_many_seeds_are_missing() -> None:
    found = cannot_reach(5, 10)
    assert found is not None
    assert found.startswith(
        "With 5 seeds no difference can be significant, however large: the smallest p of Wilcoxon's"
    )
    assert "is 0.062, and Holm over 10 comparisons asks for 0.005 or less. Run 4 more seeds: 9 in all." in found
    assert "Run 1 more seed: 9 in all." in (cannot_reach(8, 10) or "")
    assert "With 1 seed no difference" in (cannot_reach(1, 1) or "")
    assert cannot_reach(9, 10) is None
    with pytest.raises(ValueError, match="num_comparisons is 0"):
        cannot_reach(9, 0)
    with pytest.raises(ValueError, match="level 5"):
        seeds_needed(3, level=5)
