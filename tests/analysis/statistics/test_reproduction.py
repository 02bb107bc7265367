"""When our mean and a published number agree, and when they may not even be compared."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.records.published import PublishedNumber, numbers_of, papers
from analysis.statistics.intervals import MeanInterval, mean_with_t_interval
from analysis.statistics.reproduction import agrees, is_comparable

T_4, T_5 = 2.776445, 2.570582
"""The 97.5 % quantiles of Student's t with 4 and 5 degrees of freedom, from a printed table."""


def honeys(table: str, row: str) -> PublishedNumber:
    [number] = [n for n in numbers_of("honey", papers()["honey"]) if (n.table, n.row) == (table, row)]
    return number


ALL_RUNS = honeys("means of all released runs", "220M, MT unrevised")
"""62.09, standard deviation 5.59 over 6 training runs."""
PRINTED = honeys("figure of accuracies, without outliers", "220M, MT unrevised")
"""64.36, standard deviation 0.77 over 5 training runs."""


def with_facts(number: PublishedNumber, **changes: Any) -> PublishedNumber:
    return replace(number, facts=number.facts.model_copy(update=changes))


def test_a_value_inside_of_our_interval_agrees_and_one_beside_it_does_not() -> None:
    number = with_facts(PRINTED, runs=None)
    for distance, expected in ((0.999, True), (1.001, False)):
        for sign in (-1, 1):
            ours = MeanInterval(number.value + sign * distance * 0.4, 0.4, 4)
            assert agrees(number, ours) is expected


@pytest.mark.parametrize(("number", "quantile", "runs"), [(PRINTED, T_4, 5), (ALL_RUNS, T_5, 6)])
def test_the_papers_own_spread_counts_as_that_of_further_runs(
    number: PublishedNumber, quantile: float, runs: int
) -> None:
    assert number.facts.runs == runs
    assert number.deviation is not None
    for ours in (3, 10):
        width = quantile * number.deviation * math.sqrt(1 / runs + 1 / ours)
        for distance, expected in ((0.9999, True), (1.0001, False)):
            assert agrees(number, MeanInterval(number.value - distance * width, 0.0, ours)) is expected


def test_a_spread_that_is_not_of_training_runs_is_not_used() -> None:
    ours = MeanInterval(PRINTED.value + 1.0, 0.1, 5)
    assert agrees(PRINTED, ours)
    for changes in ({"runs_over": "evaluation"}, {"runs_over": None}, {"runs": None}, {"runs": 1}):
        assert not agrees(with_facts(PRINTED, **changes), ours)
    assert not agrees(replace(PRINTED, deviation=None), ours)


def test_a_reading_off_a_figure_may_be_wrong_by_its_tolerance() -> None:
    number = with_facts(PRINTED, runs=None, tolerance=0.3)
    assert agrees(number, MeanInterval(number.value + 0.69, 0.4, 4))
    assert not agrees(number, MeanInterval(number.value + 0.71, 0.4, 4))
    assert not agrees(with_facts(number, tolerance=None), MeanInterval(number.value + 0.69, 0.4, 4))


def test_a_single_seed_has_no_interval_of_its_own() -> None:
    number = with_facts(PRINTED, runs=None)
    assert not agrees(number, MeanInterval(number.value + 0.01, None, 1))


@pytest.mark.slow
def test_of_means_of_one_population_19_in_20_agree_by_the_papers_spread() -> None:
    """The prediction interval holds what it promises: 95 %, for normal runs, whatever the numbers of runs."""
    random = np.random.default_rng(7)
    for runs, ours in ((4, 3), (6, 10)):
        agreed = 0
        for _ in range(1500):
            theirs, mine = random.normal(60, 3, runs), random.normal(60, 3, ours)
            number = with_facts(PRINTED, runs=runs)
            number = replace(number, value=float(theirs.mean()), deviation=float(theirs.std(ddof=1)))
            agreed += agrees(number, MeanInterval(float(mine.mean()), 0.0, ours))
        assert agreed / 1500 == pytest.approx(0.95, abs=0.02)


def test_the_interval_is_that_of_all_tables() -> None:
    interval = mean_with_t_interval([61.0, 62.0, 63.0, 64.0, 65.0])
    assert interval.half_width == pytest.approx(T_4 * math.sqrt(2.5 / 5), abs=1e-5)


def test_only_numbers_with_a_method_a_dataset_and_a_metric_of_ours_are_comparable() -> None:
    assert is_comparable(PRINTED)
    assert not is_comparable(with_facts(PRINTED, method=None))
    assert not is_comparable(replace(PRINTED, dataset=None))
    assert not is_comparable(replace(PRINTED, metric="rating from 1 to 5"))
    assert not is_comparable(replace(PRINTED, unit="points"))
    assert PRINTED.dataset is not None
    assert not is_comparable(replace(PRINTED, trained_on=PRINTED.dataset.model_copy(update={"ours": None})))
