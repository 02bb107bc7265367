"""The mean score of a method, and the difference between two, with what is known of seeds and questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.crossed import CrossedMean, crossed_mean, difference_matrix, outcome_matrix
from analysis.statistics.grouping import Group
from analysis.statistics.intervals import MeanInterval, mean_with_t_interval
from analysis.statistics.paired import paired_difference

SEEDS_AND_QUESTIONS = "seeds and questions"
QUESTIONS = "questions"
SEEDS = "seeds"


@dataclass(frozen=True)
class ScoreInterval:
    """A mean, or a difference of means, and the ends of its interval."""

    mean: float
    """In [0, 1]; a difference in [-1, 1]."""
    low: float | None
    """The lower end, which may be below 0; None without an interval."""
    high: float | None
    """The upper end, which may be above 1; None without an interval."""
    over: str | None
    """What the interval allows to change: `SEEDS_AND_QUESTIONS`, `QUESTIONS` or `SEEDS`; None without an interval."""
    num_seeds: int
    """How many seeds it averages."""

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None without one."""
        return None if self.high is None else self.high - self.mean

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def group_score(group: Group, files: OutcomeFiles) -> ScoreInterval:
    """The mean score of a group's seeds; over seeds and questions where every seed answered the same questions."""
    outcomes = _outcomes(group, files)
    if outcomes is not None:
        try:
            return _crossed(crossed_mean(outcome_matrix(outcomes)))
        except ValueError:  # seeds with different questions, or one question
            pass
    return _over_seeds(mean_with_t_interval([score.test.value for score in group.scores]))


def score_difference(ours: Group, theirs: Group, files: OutcomeFiles, confidence: float = 0.95) -> ScoreInterval | None:
    """Our mean less theirs on the seeds that both have; None without a shared seed.

    Over seeds and questions where both answered the same questions, and over seeds alone elsewhere.
    """
    values, others = _values(ours), _values(theirs)
    if not values.keys() & others.keys():
        return None
    outcomes, other_outcomes = _outcomes(ours, files), _outcomes(theirs, files)
    if outcomes is not None and other_outcomes is not None:
        try:
            return _crossed(crossed_mean(difference_matrix(outcomes, other_outcomes), confidence))
        except ValueError:
            pass
    found = paired_difference(values, others, confidence)
    return None if found is None else _over_seeds(found)


def seed_differences(ours: Group, theirs: Group) -> list[float]:
    """Our score less theirs for every shared seed, in the order of the seeds."""
    values, others = _values(ours), _values(theirs)
    return [values[seed] - others[seed] for seed in sorted(values.keys() & others.keys())]


def best_beyond_doubt(groups: Mapping[str, Group], files: OutcomeFiles) -> str | None:
    """The name of the method with the highest mean, if it is better than each of the others beyond doubt.

    The interval of each paired difference must lie above 0, at 95 % for all of them together (Bonferroni).
    """
    if len(groups) < 2:
        return None
    means = {name: float(np.mean([score.test.value for score in group.scores])) for name, group in groups.items()}
    best = max(means, key=lambda name: means[name])
    confidence = 1 - 0.05 / (len(groups) - 1)
    for name, group in groups.items():
        if name != best:
            found = score_difference(groups[best], group, files, confidence)
            if found is None or found.low is None or found.low <= 0:
                return None
    return best


def _values(group: Group) -> dict[int, float]:
    return {score.cell.names.seed: score.test.value for score in group.scores}


def _outcomes(group: Group, files: OutcomeFiles) -> dict[int, Mapping[str, float]] | None:
    found = {score.cell.names.seed: files.of(score.cell, score.test) for score in group.scores}
    known = {seed: outcomes for seed, outcomes in found.items() if outcomes is not None}
    return known if len(known) == len(found) else None


def _crossed(found: CrossedMean) -> ScoreInterval:
    over = QUESTIONS if found.num_seeds == 1 else SEEDS_AND_QUESTIONS
    return ScoreInterval(found.mean, found.low, found.high, over, found.num_seeds)


def _over_seeds(found: MeanInterval) -> ScoreInterval:
    over = None if found.half_width is None else SEEDS
    return ScoreInterval(found.mean, found.low, found.high, over, found.num_values)
