"""How often intervals cover the truth, on simulated answers of students; makes the table of a page.

`python -m tests.analysis.statistics.coverage_of_intervals` prints the table of docs/statistics.md in six minutes.

An answer is right with the logistic probability of `level + seed + question`, both normal. Two methods share their
questions and a part of what a seed does; each method has seeds and questions that suit it. So the truth is known: the
mean over all seeds and questions that could have been drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, stdtrit

from analysis.statistics.crossed import CrossedMean, MeanSquares, crossed_mean

Values = NDArray[np.float64]
QUESTIONS_SPREAD, SUITS_METHOD, SEEDS_IN_COMMON = 1.5, 0.5, 0.3
"""Standard deviations of questions, of a method's own part of them, and of what a seed does to both methods."""
SEEDS, QUESTIONS, SPREADS = (3, 5, 10), (100, 500), (0.0, 0.1, 0.2, 0.4, 0.8)
RIVALS = ("without a floor", "Satterthwaite", "seeds alone", "questions alone")
RESAMPLES = 500
QUADRATURE = np.polynomial.hermite_e.hermegauss(80)


@dataclass(frozen=True)
class Kind:
    """What is averaged over seeds and questions."""

    name: str
    level: float
    gain: float | None = None
    """By how much the first of two methods is better, in logits; None for a single method."""


KINDS = (Kind("accuracy near 60 %", 0.5), Kind("accuracy near 92 %", 3.2), Kind("difference", 0.5, gain=0.2))


@dataclass(frozen=True)
class Coverage:
    """Shares of intervals that hold the truth, in [0, 1]."""

    ours: float
    half_width: float
    """The mean of our half-widths."""
    rivals: dict[str, float]
    bootstrap: float


def draw(
    kind: Kind, seeds: int, questions: int, spread: float, count: int, generator: np.random.Generator
) -> tuple[Values, float]:
    """(values[experiment, seed, question], the truth); `spread` is the standard deviation of seeds in logits."""

    def normal(deviation: float, *shape: int) -> Values:
        return np.asarray(generator.normal(0, deviation, (count, *shape)))

    def answers(logits: Values) -> Values:
        return np.asarray(generator.random((count, seeds, questions)) < expit(logits), dtype=float)

    shared = normal(QUESTIONS_SPREAD, 1, questions)
    if kind.gain is None:
        found = answers(kind.level + shared + normal(spread, seeds, 1))
        return found, mean_probability(kind.level, QUESTIONS_SPREAD**2 + spread**2)
    shared = shared + normal(SEEDS_IN_COMMON, seeds, 1)
    ours, theirs = (
        answers(level + shared + normal(spread, seeds, 1) + normal(SUITS_METHOD, 1, questions))
        for level in (kind.level + kind.gain, kind.level)
    )
    variance = QUESTIONS_SPREAD**2 + SEEDS_IN_COMMON**2 + spread**2 + SUITS_METHOD**2
    return ours - theirs, mean_probability(kind.level + kind.gain, variance) - mean_probability(kind.level, variance)


def mean_probability(level: float, variance: float) -> float:
    """The mean of the logistic function of a normal variable, by Gauss-Hermite quadrature."""
    nodes, weights = QUADRATURE
    return float(weights @ expit(level + np.sqrt(variance) * nodes) / weights.sum())


def rival_half_widths(found: CrossedMean) -> dict[str, float]:
    """Half-widths of four other intervals around the same mean; the first may be below that over questions alone."""
    squares, size = found.mean_squares, found.num_seeds * found.num_questions
    assert squares is not None
    of_seeds, of_questions = found.num_seeds - 1, found.num_questions - 1
    seeds = stdtrit(of_seeds, 0.975) * np.sqrt(squares.seeds / size)
    added = stdtrit(of_questions, 0.975) * np.sqrt(max(squares.questions - squares.rest, 0) / size)
    return {
        "without a floor": np.hypot(seeds, added),
        "Satterthwaite": stdtrit(satterthwaite(squares, of_seeds, of_questions), 0.975) * found.standard_error,
        "seeds alone": seeds,
        "questions alone": stdtrit(of_questions, 0.975) * np.sqrt(squares.questions / size),
    }


def satterthwaite(squares: MeanSquares, of_seeds: int, of_questions: int) -> float:
    """Satterthwaite's (1946) degrees of freedom of `seeds + questions - rest`, with the same least variance as ours."""
    total = max(squares.seeds + squares.questions - squares.rest, squares.seeds, squares.questions)
    parts = (
        squares.seeds**2 / of_seeds
        + squares.questions**2 / of_questions
        + squares.rest**2 / (of_seeds * of_questions)
    )  # fmt: skip
    return total**2 / parts


def bootstrap_covers(values: Values, truth: float, generator: np.random.Generator) -> bool:
    """Whether the plain percentile bootstrap of seeds and questions, both drawn anew, holds the truth."""
    seeds, questions = values.shape
    weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    drawn = generator.integers(questions, size=(RESAMPLES, questions))
    means = np.take_along_axis(weights @ values, drawn, axis=1).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return bool(low <= truth <= high)


def coverage(
    kind: Kind, seeds: int, questions: int, spread: float, count: int, bootstraps: int, seed: int = 0
) -> Coverage:
    """Coverage in `count` simulated experiments, and of the bootstrap in the first `bootstraps` of them."""
    generator = np.random.default_rng([seed, KINDS.index(kind), seeds, questions, round(100 * spread)])
    ours: list[tuple[bool, float]] = []
    rivals: list[list[bool]] = []
    by_bootstrap: list[bool] = []
    while len(ours) < count:
        batch = min(count - len(ours), max(1, 1_000_000 // (seeds * questions)))
        experiments, truth = draw(kind, seeds, questions, spread, batch, generator)
        for values in experiments:
            found = crossed_mean(values)
            error = abs(found.mean - truth)
            ours.append((error <= found.half_width, found.half_width))
            rivals.append([error <= half_width for half_width in rival_half_widths(found).values()])
            if len(by_bootstrap) < bootstraps:
                by_bootstrap.append(bootstrap_covers(values, truth, generator))
    covered, half_width = np.mean(ours, axis=0)
    shares = dict(zip(RIVALS, np.mean(rivals, axis=0).tolist(), strict=True))
    return Coverage(float(covered), float(half_width), shares, float(np.mean(by_bootstrap)) if bootstraps else np.nan)


def table_rows(count: int, bootstraps: int, seed: int = 0) -> Iterator[str]:
    """The rows of the page's table; two numbers in a field are for 100 and for 500 questions."""
    for kind, seeds, spread in product(KINDS, SEEDS, SPREADS):
        few, many = (coverage(kind, seeds, questions, spread, count, bootstraps, seed) for questions in QUESTIONS)
        pairs = [
            (few.ours, many.ours),
            (few.half_width, many.half_width),
            *((few.rivals[name], many.rivals[name]) for name in RIVALS),
            (few.bootstrap, many.bootstrap),
        ]
        fields = [f"{100 * one:.1f}, {100 * other:.1f}" for one, other in pairs]
        yield f"| {kind.name} | {seeds} | {spread} | {' | '.join(fields)} |"


if __name__ == "__main__":
    for row in table_rows(count=10_000, bootstraps=2_000):
        sys.stdout.write(row + "\n")
