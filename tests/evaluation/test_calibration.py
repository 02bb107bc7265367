"""What judgements were worth: against closed forms, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from benchmark.evaluation.calibration import auroc, calibration, label_precision, score_error_correlation

JUDGED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]) | st.floats(0, 1), st.booleans()), min_size=2
)


@given(JUDGED.filter(lambda judged: len({right for _, right in judged}) == 2))
def test_auroc_is_that_of_scikit_learn(judged: list[tuple[float, bool]]) -> None:
    scores, right = [score for score, _ in judged], [right for _, right in judged]
    assert auroc(scores, right) == pytest.approx(roc_auc_score(right, scores))
    assert auroc([-score for score in scores], right) == pytest.approx(1 - roc_auc_score(right, scores))


def test_auroc_in_closed_form() -> None:
    assert auroc([0.9, 0.8, 0.1], [True, True, False]) == 1
    assert auroc([0.5] * 4, [True, False, False, True]) == 0.5  # ties count half
    assert auroc([0.1, 0.2, 0.2, 0.3], [False, False, True, True]) == (1 + 0.5 + 1 + 1) / 4
    assert auroc([0.1, 0.2], [True, True]) is None
    assert auroc([], []) is None


@given(JUDGED)
def test_ece_is_the_sum_over_the_bins(judged: list[tuple[float, bool]]) -> None:
    found = calibration([each for each, _ in judged], [right for _, right in judged])
    assert (found.n, sum(each.n for each in found.bins), len(found.bins)) == (len(judged), len(judged), 10)
    expected = 0.0
    for each in found.bins:
        inside = [(c, r) for c, r in judged if each.low <= c < each.high or (each.high == c == 1)]
        assert each.n == len(inside)
        if inside:
            expected += abs(sum(c for c, _ in inside) - sum(r for _, r in inside)) / len(judged)
        assert (each.mean_confidence is None) == (each.share_right is None) == (not inside)
    assert found.ece == pytest.approx(expected)


def test_a_calibrated_judge_and_one_that_is_sure_of_everything() -> None:
    right = [True] * 8 + [False] * 2
    assert calibration([0.8] * 10, right).ece == pytest.approx(0)
    assert calibration([1.0] * 10, right).ece == pytest.approx(0.2)
    [used] = [each for each in calibration([0.8] * 10, right).bins if each.n]
    assert (used.low, used.n, used.share_right) == (0.8, 10, 0.8)
    assert used.high == pytest.approx(0.9)


def test_what_is_no_probability_has_an_order_alone() -> None:
    found = calibration([-3.0, -1.0], [False, True])
    assert (found.auroc, found.ece, found.bins) == (1, None, ())


def test_labels_before_and_after_the_weighting() -> None:
    found = label_precision([1.0, 0.5, 0.0, 0.0, 0.5], [True, True, True, False, False])
    assert (found.bought, found.kept, found.right_bought, found.right_kept) == (5, 3, 3, 2)
    assert found.weighted == pytest.approx(1.5 / 2)
    assert (found.share_bought, found.share_kept) == (pytest.approx(0.6), pytest.approx(2 / 3))
    nothing = label_precision([0.0], [True])
    assert (nothing.weighted, nothing.share_kept, label_precision([], []).share_bought) == (None, None, None)


def test_scores_and_errors() -> None:
    assert score_error_correlation([1, 2, 3, 9], [0.0, 0.2, 0.4, 1.0]).spearman == pytest.approx(1)
    assert score_error_correlation([1, 2, 3, 9], [1.0, 0.4, 0.2, 0.0]).spearman == pytest.approx(-1)
    # 1 - 6 * sum(d^2) / (n (n^2 - 1)) without ties
    found = score_error_correlation([1, 2, 3, 4, 5], [0.2, 0.1, 0.3, 0.5, 0.4])
    assert (found.spearman, found.n) == (pytest.approx(1 - 6 * 4 / (5 * 24)), 5)
    for scores, wrong in (([1.0, 1.0], [0.0, 1.0]), ([1.0, 2.0], [0.5, 0.5]), ([1.0], [0.0]), ([], [])):
        assert score_error_correlation(scores, wrong).spearman is None


def test_a_score_without_meaning_correlates_with_nothing() -> None:
    rng = np.random.default_rng(1)
    found = score_error_correlation(list(rng.random(2000)), list(rng.random(2000))).spearman
    assert found is not None
    assert abs(found) < 3 / math.sqrt(2000)
