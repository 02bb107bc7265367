"""McNemar's test against statsmodels, a published example, and all outcomes counted one by one."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from analysis.statistics.mcnemar import mcnemar, mcnemar_by_seed

TABLES = [(1, 1, 7, 12), (59, 6, 16, 80), (20, 5, 5, 3), (0, 0, 4, 1), (150, 31, 22, 97), (10, 0, 0, 5)]
"""(both right, ours alone, theirs alone, both wrong)."""


def answers(both: int, ours_alone: int, theirs_alone: int, neither: int) -> tuple[dict[str, bool], dict[str, bool]]:
    pairs = [(True, True)] * both + [(True, False)] * ours_alone
    pairs += [(False, True)] * theirs_alone + [(False, False)] * neither
    ours, theirs = zip(*pairs, strict=True)
    return {str(i): value for i, value in enumerate(ours)}, {str(i): value for i, value in enumerate(theirs)}


@pytest.mark.parametrize("table", TABLES)
def test_the_exact_p_is_that_of_statsmodels(table: tuple[int, int, int, int]) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    found = mcnemar(*answers(*table))
    expected = tables.mcnemar([[table[0], table[1]], [table[2], table[3]]], exact=True).pvalue
    assert found.p_exact == pytest.approx(expected)
    assert (found.num_questions, found.ours_alone, found.theirs_alone) == (sum(table), table[1], table[2])


@pytest.mark.parametrize("table", TABLES[:5])
def test_both_p_values_are_a_count_of_outcomes(table: tuple[int, int, int, int]) -> None:
    """Outcomes farther from the middle than what was seen, and as far: whole for the exact p, half for the mid-p."""
    total, seen = table[1] + table[2], abs(table[1] - table[2])
    farther = sum(comb(total, k) for k in range(total + 1) if abs(total - 2 * k) > seen)
    as_far = sum(comb(total, k) for k in range(total + 1) if abs(total - 2 * k) == seen)
    found = mcnemar(*answers(*table))
    assert found.p_exact == pytest.approx(float(Fraction(farther + as_far, 2**total)))
    assert found.p_mid == pytest.approx(float(Fraction(2 * farther + as_far, 2 ** (total + 1))))


def test_the_published_example() -> None:
    """Fagerland, Lydersen and Laake (2013): airway hyper-responsiveness of 21 children, 1 against 7."""
    found = mcnemar(*answers(1, 1, 7, 12))
    assert (found.p_exact, found.p_mid) == pytest.approx((0.0703, 0.0391), abs=5e-5)


def test_without_a_question_that_one_alone_gets_right_there_is_no_difference() -> None:
    found = mcnemar(*answers(10, 0, 0, 5))
    assert (found.p_exact, found.p_mid) == (1.0, 1.0)


def test_seeds_are_tested_one_by_one() -> None:
    first, second = answers(1, 1, 7, 12), answers(59, 6, 16, 80)
    found = mcnemar_by_seed({1: first[0], 2: second[0], 3: first[0]}, {2: second[1], 1: first[1]})
    assert found == {1: mcnemar(*first), 2: mcnemar(*second)}


def test_pooled_over_seeds_it_would_find_differences_that_are_not_there() -> None:
    """Why there is no pooled test: two methods that are equally good, each with questions that suit it."""
    generator = np.random.default_rng(0)
    pooled, per_seed = [], []
    for _ in range(200):
        suits = generator.normal(0, 1.5, (2, 1, 40))
        right = generator.random((2, 5, 40)) < 1 / (1 + np.exp(-suits))
        ours, theirs = ({f"{s}/{q}": bool(v) for (s, q), v in np.ndenumerate(of)} for of in right)
        pooled.append(mcnemar(ours, theirs).p_mid < 0.05)
        first = [{name: value for name, value in of.items() if name.startswith("0/")} for of in (ours, theirs)]
        per_seed.append(mcnemar(*first).p_mid < 0.05)
    assert np.mean(pooled) > 0.12
    assert np.mean(per_seed) < 0.08


def test_other_questions_and_grades_are_refused() -> None:
    with pytest.raises(ValueError, match="1 are ours alone, 2 theirs alone, 1 shared"):
        mcnemar({"a": True, "b": True}, {"b": True, "c": True, "d": False})
    with pytest.raises(ValueError, match="0 shared"):
        mcnemar({}, {})
    with pytest.raises(ValueError, match=r"1 are neither, such as 0\.5"):
        mcnemar({"a": True, "b": 0.5}, {"a": True, "b": True})  # type: ignore[dict-item]
