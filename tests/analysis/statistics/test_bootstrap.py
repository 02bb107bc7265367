"""The bootstrap over clusters, against scipy's, the closed form, and statsmodels' cluster-robust standard error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.bootstrap import (
    BootstrapInterval,
    bootstrap_difference,
    bootstrap_mean,
    standard_error_of_difference,
    standard_error_of_mean,
)

# Right answers among samples of one question, for our method and for theirs.
OURS = {
    "q01": [1, 1, 0, 1], "q02": [0, 0], "q03": [1, 1, 1], "q04": [0, 1, 0, 0], "q05": [1], "q06": [1, 1, 1, 1],
    "q07": [0, 0, 0, 1], "q08": [1, 0], "q09": [1, 1, 1, 0], "q10": [0], "q11": [1, 1], "q12": [0, 1, 1, 1],
    "q13": [1, 1, 1], "q14": [0, 0, 1, 0], "q15": [1, 1, 0, 1], "q16": [1, 0, 0], "q17": [1, 1, 1, 1], "q18": [0, 0],
}  # fmt: skip
THEIRS = {
    "q01": [1, 0, 0, 1], "q02": [0, 0], "q03": [1, 1, 0], "q04": [0, 0, 0, 0], "q05": [1], "q06": [1, 1, 0, 1],
    "q07": [0, 1, 0, 1], "q08": [0, 0], "q09": [1, 1, 1, 1], "q10": [0], "q11": [1, 0], "q12": [0, 1, 0, 1],
    "q13": [1, 1, 1], "q14": [0, 0, 0, 0], "q15": [1, 0, 0, 1], "q16": [1, 0, 1], "q17": [1, 1, 1, 0], "q18": [0, 0],
}  # fmt: skip


def totals(values: dict[str, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([sum(of) for of in values.values()]), np.array([len(of) for of in values.values()])


def assert_agrees(found: BootstrapInterval, scipys: object) -> None:
    """Both have 10,000 resamples: ends and standard errors differ by chance only."""
    error = scipys.standard_error  # type: ignore[attr-defined]
    low, high = scipys.confidence_interval  # type: ignore[attr-defined]
    assert found.standard_error == pytest.approx(error, rel=0.04)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * error)


def test_a_mean_over_clusters_is_that_of_scipy() -> None:
    found = bootstrap_mean(OURS, seed=1)
    expected = stats.bootstrap(
        totals(OURS), lambda sums, numbers, axis: sums.sum(axis) / numbers.sum(axis),
        n_resamples=10_000, paired=True, method="percentile", vectorized=True, rng=np.random.default_rng(2),
    )  # fmt: skip
    assert found.mean == pytest.approx(34 / 55)
    assert (found.num_clusters, found.resamples, found.seed) == (18, 10_000, 1)
    assert_agrees(found, expected)


def test_a_paired_difference_is_that_of_scipy() -> None:
    found = bootstrap_difference(OURS, THEIRS, seed=1, confidence=0.9)
    expected = stats.bootstrap(
        (*totals(OURS), *totals(THEIRS)),
        lambda a, m, b, n, axis: a.sum(axis) / m.sum(axis) - b.sum(axis) / n.sum(axis),
        n_resamples=10_000, paired=True, method="percentile", vectorized=True, confidence_level=0.9,
        rng=np.random.default_rng(2),
    )  # fmt: skip
    assert found.mean == pytest.approx((34 - 27) / 55)
    assert_agrees(found, expected)


def test_the_closed_form_is_the_standard_error_of_many_resamples() -> None:
    assert bootstrap_mean(OURS, seed=0).standard_error == pytest.approx(standard_error_of_mean(OURS), rel=0.05)
    found = bootstrap_difference(OURS, THEIRS, seed=0).standard_error
    assert found == pytest.approx(standard_error_of_difference(OURS, THEIRS), rel=0.05)


def test_the_closed_form_is_that_of_textbook_and_statsmodels() -> None:
    single = {question: [values[0]] for question, values in OURS.items()}
    assert standard_error_of_mean(single) == pytest.approx(stats.sem([values[0] for values in OURS.values()]))
    api = pytest.importorskip("statsmodels.api")
    values = np.concatenate(list(OURS.values()))
    groups = np.repeat(np.arange(len(OURS)), totals(OURS)[1])
    robust = api.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    of_many_clusters = float(robust.bse[0])  # without the factor G / (G - 1) of the variance
    assert standard_error_of_mean(OURS) == pytest.approx(of_many_clusters * np.sqrt(18 / 17))


def test_samples_of_one_question_do_not_count_as_questions() -> None:
    """Every sample of a question repeated ten times tells nothing new."""
    repeated = {question: values * 10 for question, values in OURS.items()}
    assert standard_error_of_mean(repeated) == pytest.approx(standard_error_of_mean(OURS))
    assert bootstrap_mean(repeated, seed=3).low == pytest.approx(bootstrap_mean(OURS, seed=3).low)


def test_the_seed_decides_alone() -> None:
    first, again, other = (bootstrap_mean(OURS, seed, resamples=200) for seed in (5, 5, 6))
    np.random.default_rng(5).random()
    shuffled = bootstrap_mean(dict(reversed(OURS.items())), 5, resamples=200)
    assert first == again == shuffled
    assert (first.low, first.high, first.standard_error) != (other.low, other.high, other.standard_error)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two; there is 1"):
        bootstrap_mean({"a": [1]}, 0)
    with pytest.raises(ValueError, match="1 of 2 clusters are empty or hold a value that is not finite, such as 'b'"):
        bootstrap_mean({"a": [1], "b": []}, 0)
    with pytest.raises(ValueError, match="1 of 2 clusters"):
        bootstrap_mean({"a": [1], "b": [1, float("nan")]}, 0)
    with pytest.raises(ValueError, match="1 clusters are ours alone and 0 theirs alone, 17 are shared"):
        bootstrap_difference(OURS, {name: values for name, values in THEIRS.items() if name != "q07"}, 0)
    with pytest.raises(ValueError, match="confidence is 95"):
        bootstrap_mean(OURS, 0, confidence=95)
    with pytest.raises(ValueError, match="resamples is 0"):
        bootstrap_mean(OURS, 0, resamples=0)


@pytest.mark.slow
def test_it_covers_with_many_clusters_and_not_with_few() -> None:
    generator = np.random.default_rng(0)

    def covered(clusters: int) -> float:
        found = 0
        for number in range(600):
            probabilities = generator.beta(1.5, 1, clusters)  # mean 0.6
            values = {str(i): generator.binomial(1, p, 4).tolist() for i, p in enumerate(probabilities)}
            interval = bootstrap_mean(values, number, resamples=500)
            found += interval.low <= 0.6 <= interval.high
        return found / 600

    assert 0.925 <= covered(100) <= 0.975
    assert covered(6) < 0.9
