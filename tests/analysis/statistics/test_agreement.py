"""Agreement and Cohen's kappa, by hand and as scikit-learn has them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.agreement import Agreement, agreement


def test_counts_by_hand() -> None:
    first, second = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 0], bool)
    found = agreement(first, second)
    assert found == Agreement(both_right=2, only_first=1, only_second=1, both_wrong=1)
    assert found.share == pytest.approx(0.6)
    assert found.kappa == pytest.approx((0.6 - (0.36 + 0.16)) / (1 - (0.36 + 0.16)))


def test_kappa_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for rate in (0.1, 0.5, 0.9):
        first, second = rng.random(200) < rate, rng.random(200) < 0.6
        second = np.where(rng.random(200) < 0.3, first, second)
        assert agreement(first, second).kappa == pytest.approx(metrics.cohen_kappa_score(first, second))


@pytest.mark.parametrize("value", [True, False])
def test_there_is_no_kappa_where_chance_alone_agrees(value: bool) -> None:
    same = np.full(4, value)
    assert agreement(same, same).share == 1.0
    assert agreement(same, same).kappa is None


def test_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="3 answers beside 2"):
        agreement(np.ones(3, bool), np.ones(2, bool))
    with pytest.raises(ValueError, match="at least one"):
        agreement(np.ones(0, bool), np.ones(0, bool))
