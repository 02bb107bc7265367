"""The mean over seeds and questions, with an interval that holds for new seeds and for new questions.

All seeds answer the same questions, so that their means are not independent: an easy set of questions lifts all of
them. The model is the two-way crossed one with random effects, `value = mean + seed + question + rest`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.statistics.intervals import mean_with_t_interval, t_quantile

Matrix = NDArray[np.float64]
Outcomes = Mapping[int, Mapping[str, float]]
"""Seed -> question -> outcome: 0 or 1, or a grade."""


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of the two-way analysis of variance without repetition (one value per seed and question)."""

    seeds: float
    """Between seeds, with S - 1 degrees of freedom."""
    questions: float
    """Between questions, with Q - 1."""
    rest: float
    """What is left, with (S - 1) (Q - 1)."""


@dataclass(frozen=True)
class CrossedMean:
    """A mean over seeds and questions, and its interval from `mean - half_width` to `mean + half_width`."""

    mean: float
    """The mean of all values."""
    half_width: float
    """Half the width of the interval."""
    standard_error: float
    """The square root of the estimated variance of the mean."""
    num_seeds: int
    """S. With 1, the interval holds for new questions and this one seed: seeds are left out."""
    num_questions: int
    """Q."""
    mean_squares: MeanSquares | None
    """Where the spread comes from; None with one seed, which cannot tell."""

    @property
    def low(self) -> float:
        """The lower end, which may be below 0."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end, which may be above 1."""
        return self.mean + self.half_width

    @property
    def holds_for(self) -> str:
        """What may change without leaving the interval, in words for a table's note."""
        return "new seeds and new questions" if self.num_seeds > 1 else "new questions, one seed: seeds are left out"


def crossed_mean(values: ArrayLike, confidence: float = 0.95) -> CrossedMean:
    """The mean of `values[seed, question]` and its interval for new seeds and new questions.

    The values are outcomes of one method, or differences between two methods on the same seeds and questions. With the
    mean squares of seeds, questions and rest, the variance of the mean is `(seeds + questions - rest) / (S Q)`: both of
    the first two contain the rest, which must count once. Chance may make the rest larger than one of them. The
    variance would then be below that for new questions alone, or for new seeds alone, which cannot be: when more is
    new, the mean varies more. So the larger of these two is its least value, and it never falls below 0.

    The half-width is the root of two squared half-widths, as for the sum of two independent means (Howe, *Journal of
    the American Statistical Association* 69, 1974, p. 789): one of `seeds`, with `t` of S - 1 degrees of freedom, and
    one of what questions add, `questions - rest`, with `t` of Q - 1. It is at least the half-width over questions
    alone. Where only seeds vary, it is the t-interval over the seeds' means; with one seed, over the questions.
    Satterthwaite's degrees of freedom, which follow from the data, cover too rarely with three seeds:
    docs/statistics.md shows how often each interval covers.

    Equal values (a student that is always right) give a width of 0, which says nothing about new questions.

    Raises:
        ValueError: `values` is no matrix, has fewer than two questions, or lacks pairs of a seed and a question; or a
            confidence outside (0, 1).
    """
    matrix = _checked(values)
    num_seeds, num_questions = matrix.shape
    if num_seeds == 1:
        return _over_questions(matrix[0], confidence)
    squares = mean_squares(matrix)
    of_seeds, of_questions = t_quantile(confidence, num_seeds - 1), t_quantile(confidence, num_questions - 1)
    both = of_seeds**2 * squares.seeds + of_questions**2 * (squares.questions - squares.rest)
    alone = max(of_seeds**2 * squares.seeds, of_questions**2 * squares.questions)
    variance = max(squares.seeds + squares.questions - squares.rest, squares.seeds, squares.questions) / matrix.size
    return CrossedMean(
        mean=float(matrix.mean()),
        half_width=math.sqrt(max(both, alone) / matrix.size),
        standard_error=math.sqrt(variance),
        num_seeds=num_seeds,
        num_questions=num_questions,
        mean_squares=squares,
    )


def mean_squares(matrix: Matrix) -> MeanSquares:
    """The mean squares of a matrix with at least two seeds (rows) and two questions (columns)."""
    num_seeds, num_questions = matrix.shape
    of_seeds, of_questions = matrix.mean(axis=1), matrix.mean(axis=0)
    rest = matrix - of_seeds[:, None] - of_questions[None, :] + matrix.mean()
    return MeanSquares(
        seeds=float(num_questions * of_seeds.var(ddof=1)),
        questions=float(num_seeds * of_questions.var(ddof=1)),
        rest=float((rest**2).sum() / ((num_seeds - 1) * (num_questions - 1))),
    )


def outcome_matrix(outcomes: Outcomes) -> Matrix:
    """`values[seed, question]`, both in ascending order. Raises ValueError where a seed lacks a question of another."""
    return _matrix(outcomes, sorted(outcomes), _questions(outcomes))


def difference_matrix(ours: Outcomes, theirs: Outcomes) -> Matrix:
    """Ours less theirs for the seeds that both have, as `values[seed, question]`.

    Raises:
        ValueError: there is no shared seed, or one of the two lacks a question for one of them.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        raise ValueError(f"the methods share no seed: {sorted(ours)} and {sorted(theirs)}; run both with one seed")
    questions = _questions({seed: {**ours[seed], **theirs[seed]} for seed in seeds})
    return _matrix(ours, seeds, questions) - _matrix(theirs, seeds, questions)


def _questions(outcomes: Outcomes) -> list[str]:
    return sorted({question for of_seed in outcomes.values() for question in of_seed})


def _matrix(outcomes: Outcomes, seeds: Sequence[int], questions: Collection[str]) -> Matrix:
    rows = [[outcomes[seed].get(question, math.nan) for question in questions] for seed in seeds]
    return _whole(np.array(rows, dtype=float).reshape(len(seeds), len(questions)))


def _whole(matrix: Matrix) -> Matrix:
    missing = int(np.count_nonzero(~np.isfinite(matrix)))
    if missing:
        incomplete = int(np.count_nonzero(~np.isfinite(matrix).all(axis=1)))
        raise ValueError(
            f"{missing} of {matrix.size} pairs of a seed and a question have no value, in {incomplete} of "
            f"{len(matrix)} seeds; give the same questions to every seed, or leave a question out of all"
        )
    return matrix


def _checked(values: ArrayLike) -> Matrix:
    matrix = np.asarray(values, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] < 1 or matrix.shape[1] < 2:
        raise ValueError(
            f"values have the shape {matrix.shape}, expected (seeds, questions) with at least two questions"
        )
    return _whole(matrix)


def _over_questions(values: Matrix, confidence: float) -> CrossedMean:
    interval = mean_with_t_interval(values.tolist(), confidence)
    return CrossedMean(
        mean=interval.mean,
        half_width=interval.half_width or 0.0,
        standard_error=float(values.std(ddof=1) / math.sqrt(len(values))),
        num_seeds=1,
        num_questions=len(values),
        mean_squares=None,
    )
