"""The crossed interval: closed forms, statsmodels' analysis of variance, refusals, and coverage by simulation."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics.crossed import crossed_mean, difference_matrix, mean_squares, outcome_matrix
from tests.analysis.statistics.coverage_of_intervals import KINDS, coverage, table_rows

RIGHT = np.array(
    [
        [1, 0, 1, 1, 0, 1, 1, 0],
        [1, 0, 0, 1, 0, 1, 1, 1],
        [1, 1, 1, 1, 0, 1, 0, 0],
    ]
)  # fmt: skip
"""Right answers of three seeds (rows) to eight questions."""
PAGE = Path(__file__).resolve().parents[3] / "docs" / "statistics.md"
ACCURACY, HIGH_ACCURACY, DIFFERENCE = KINDS


def test_mean_squares_by_hand() -> None:
    """Means 0 and 3 of seeds, 0, 1.5 and 3 of questions; the rest is what a sum of both misses."""
    found = mean_squares(np.array([[-2.0, 0.0, 2.0], [2.0, 3.0, 4.0]]))
    # seeds: 3 * (1.5**2 + 1.5**2) / 1; questions: 2 * (1.5**2 + 0 + 1.5**2) / 2; rest: 4 * 0.5**2 / 2
    assert (found.seeds, found.questions, found.rest) == pytest.approx((13.5, 4.5, 0.5))


def test_mean_squares_are_those_of_statsmodels() -> None:
    pytest.importorskip("statsmodels")
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rows = [(seed, question, value) for (seed, question), value in np.ndenumerate(RIGHT)]
    frame = pd.DataFrame(rows, columns=["seed", "question", "value"])
    table = anova_lm(ols("value ~ C(seed) + C(question)", data=frame).fit())
    found = crossed_mean(RIGHT).mean_squares
    assert found is not None
    expected = table.loc[["C(seed)", "C(question)", "Residual"], "mean_sq"]
    assert (found.seeds, found.questions, found.rest) == pytest.approx(tuple(expected))


def test_the_interval_by_hand() -> None:
    # values of the first test: t(0.975) is 12.706205 with 1 degree of freedom and 4.302653 with 2
    found = crossed_mean([[-2, 0, 2], [2, 3, 4]])
    assert found.mean == pytest.approx(1.5)
    assert found.standard_error == pytest.approx(math.sqrt((13.5 + 4.5 - 0.5) / 6))
    assert found.half_width == pytest.approx(math.sqrt((12.706205**2 * 13.5 + 4.302653**2 * 4.0) / 6), rel=1e-6)
    assert (found.low, found.high) == pytest.approx((1.5 - found.half_width, 1.5 + found.half_width))
    assert (found.num_seeds, found.num_questions, found.holds_for) == (2, 3, "new seeds and new questions")


def test_where_only_seeds_vary_it_is_the_t_interval_over_seeds() -> None:
    accuracies = [0.5, 0.7, 0.9, 0.6]
    found = crossed_mean(np.repeat(np.array(accuracies)[:, None], 50, axis=1), confidence=0.9)
    expected = stats.t.interval(0.9, df=3, loc=np.mean(accuracies), scale=stats.sem(accuracies))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.standard_error == pytest.approx(stats.sem(accuracies))


def test_where_only_questions_vary_it_is_the_t_interval_over_questions() -> None:
    found = crossed_mean(np.tile(RIGHT[0], (4, 1)))
    expected = stats.t.interval(0.95, df=7, loc=RIGHT[0].mean(), scale=stats.sem(RIGHT[0]))
    assert (found.low, found.high) == pytest.approx(expected)


def test_seeds_that_agree_by_chance_do_not_shrink_it_below_the_interval_over_questions() -> None:
    by_chance = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])  # every seed 1/2, and the rest is large
    squares = mean_squares(by_chance)
    found = crossed_mean(by_chance)
    assert squares.seeds == 0
    assert squares.questions < squares.rest
    over_questions = stats.t.interval(0.95, df=3, loc=0.5, scale=stats.sem(by_chance.mean(axis=0)))
    assert (found.low, found.high) == pytest.approx(over_questions)
    assert found.standard_error == pytest.approx(stats.sem(by_chance.mean(axis=0)))


def test_one_seed_has_an_interval_over_questions_alone_and_says_so() -> None:
    found = crossed_mean(RIGHT[:1])
    expected = stats.t.interval(0.95, df=7, loc=0.625, scale=stats.sem(RIGHT[0]))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.standard_error == pytest.approx(stats.sem(RIGHT[0]))
    assert "seeds are left out" in found.holds_for
    assert found.mean_squares is None


def test_differences_are_taken_on_shared_seeds_and_the_same_questions() -> None:
    ours = {1: {"b": True, "a": True}, 2: {"a": True, "b": False}, 7: {"a": False}}
    theirs = {2: {"b": True, "a": False}, 1: {"a": False, "b": True}}
    assert difference_matrix(ours, theirs).tolist() == [[1, 0], [1, -1]]
    assert outcome_matrix(theirs).tolist() == [[0, 1], [0, 1]]


def test_missing_pairs_are_refused_with_their_number() -> None:
    whole = {1: {"a": 1, "b": 0}, 2: {"a": 1, "b": 1}}
    holed = {1: {"a": 1, "b": 0}, 2: {"c": 1}}
    with pytest.raises(ValueError, match="3 of 6 pairs of a seed and a question have no value, in 2 of 2 seeds"):
        outcome_matrix(holed)
    with pytest.raises(ValueError, match="2 of 6 pairs of a seed and a question have no value, in 2 of 2 seeds"):
        difference_matrix(whole, {1: {"a": 1, "b": 0}, 2: {"a": 1, "b": 1, "c": 1}})
    with pytest.raises(ValueError, match="1 of 4 pairs"):
        crossed_mean([[1.0, 0.0], [math.nan, 1.0]])
    with pytest.raises(ValueError, match="share no seed"):
        difference_matrix(whole, {3: {"a": 1, "b": 1}})


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [[1.0]], [[1.0], [0.0]], np.empty((0, 5))])
def test_what_is_no_matrix_of_several_questions_is_refused(values: ArrayLike) -> None:
    with pytest.raises(ValueError, match=r"the shape \("):
        crossed_mean(values)


def test_a_confidence_outside_0_and_1_is_refused() -> None:
    for values in (RIGHT, RIGHT[:1]):
        with pytest.raises(ValueError, match="confidence is 95"):
            crossed_mean(values, confidence=95)


def test_it_covers_where_an_interval_over_seeds_alone_does_not() -> None:
    """Questions decide here: an interval that leaves them out covers far less than 95 %."""
    found = coverage(ACCURACY, seeds=5, questions=100, spread=0.1, count=800, bootstraps=0)
    assert found.rivals["seeds alone"] < 0.88
    assert 0.945 <= found.ours <= 0.985


def test_it_covers_where_an_interval_over_questions_alone_does_not() -> None:
    """Seeds decide here: an interval that leaves them out covers far less than 95 %."""
    found = coverage(DIFFERENCE, seeds=5, questions=200, spread=0.4, count=800, bootstraps=0)
    assert found.rivals["questions alone"] < 0.75
    assert 0.93 <= found.ours <= 0.975


@pytest.mark.slow
def test_the_table_of_the_page_is_what_a_simulation_gives() -> None:
    """Another seed and fewer repetitions: shares agree within four standard errors, half-widths within a tenth."""
    count, bootstraps, page_count, page_bootstraps = 1000, 150, 10_000, 2_000
    printed = re.findall(
        r"^\| (?:accuracy near \d+ %|difference) \| .*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    rows = list(table_rows(count, bootstraps, seed=1))
    assert len(printed) == len(rows) == 45
    for row, expected in zip(rows, printed, strict=True):
        found, wanted = (np.array(re.findall(r"\d+\.\d", text.split("|", 4)[4]), float) for text in (row, expected))
        half_widths, shares = [2, 3], [0, 1, *range(4, 14)]
        assert found[half_widths] == pytest.approx(wanted[half_widths], rel=0.1), row
        p = np.clip(wanted[shares] / 100, 0.02, 0.98)
        runs = np.array([1 / count + 1 / page_count] * 10 + [1 / bootstraps + 1 / page_bootstraps] * 2)
        assert (abs(found - wanted)[shares] / 100 <= 4 * np.sqrt(p * (1 - p) * runs)).all(), (row, expected)
