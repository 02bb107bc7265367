"""Diversity: questions first that lie apart in the student's embeddings of the questions as they are shown.

No gold answer is read. In a warm-up round all rank at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements
from benchmark.extras import absence
from benchmark.types import Pick, Question
from methods.answers import refuse_too_few_samples, sampled
from methods.ranks import Disagreement, disagreement


@dataclass(frozen=True)
class KMeansDiversity:
    """The questions nearest to the centres of k-means clusters, cluster by cluster.

    The questions that are left are clustered anew in every round. The order does not depend on how many will be bought.
    """

    clusters: int = 20
    """The number of clusters; fewer where fewer questions differ."""
    restarts: int = 4
    """Starts of k-means; the one with the smallest distances counts."""

    def __post_init__(self) -> None:
        if self.clusters < 1 or self.restarts < 1:
            raise ValueError(f"clusters={self.clusters} and restarts={self.restarts} must be at least 1")
        if (why := absence("sklearn")) is not None:
            raise ValueError(
                f"k-means needs scikit-learn, which {why}: pip install 'distillation-benchmark[selection]'"
            )

    def requires(self) -> Requirements:
        """Nothing: every student has embeddings."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """In turns over the clusters, the largest first; in a cluster the nearest to its centre first.

        The score is the share of the pool that is not picked before: 1 for the first pick.
        """
        if context.round.warmup or not pool:
            return RandomSelection().rank(pool, context)
        questions = _shuffled(pool, context)
        points = _embedded(questions, context)
        labels, distances = self._clustered(points, context)
        sizes = np.bincount(labels)
        turns = np.zeros(len(questions), dtype=int)
        for cluster in range(len(sizes)):
            members = np.flatnonzero(labels == cluster)
            turns[members[np.argsort(distances[members], kind="stable")]] = np.arange(len(members))
        order = np.lexsort((labels, -sizes[labels], turns))
        return [
            Pick(
                questions[i],
                1 - place / len(questions),
                {"cluster": int(labels[i]), "cluster_size": int(sizes[labels[i]]), "distance": float(distances[i])},
            )
            for place, i in enumerate(order)
        ]

    def _clustered(self, points: np.ndarray, context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Per point its cluster and its distance to the cluster's centre."""
        from sklearn.cluster import KMeans

        clusters = min(self.clusters, len(np.unique(points, axis=0)))
        seed = int(context.rng("k-means").integers(2**31))
        fitted: Any = KMeans(clusters, n_init=self.restarts, random_state=seed).fit(points)
        return fitted.labels_, np.linalg.norm(points - fitted.cluster_centers_[fitted.labels_], axis=1)


@dataclass(frozen=True)
class CoreSet:
    """The question farthest from all that are taken, again and again (greedy k-centre, Sener & Savarese, 2018).

    What earlier rounds bought is taken from the start. n questions take n steps of n distances each.
    """

    def requires(self) -> Requirements:
        """Nothing: every student has embeddings."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Farthest first; without earlier purchases the first one is drawn.

        The score is the distance to the nearest question that was taken before; the first one drawn has the largest
        distance to any other.
        """
        if context.round.warmup or not pool:
            return RandomSelection().rank(pool, context)
        questions = _shuffled(pool, context)
        order, scores, distances = _farthest_first(questions, context, np.ones(len(questions)))
        return [
            Pick(questions[i], score, {"distance": distance})
            for i, score, distance in zip(order, scores, distances, strict=True)
        ]


@dataclass(frozen=True)
class UncertainDiversity:
    """Core-set over distance times uncertainty: far from what is taken, and answered in several ways ([R])."""

    measure: Disagreement = "entropy"
    """How far sampled answers differ: `entropy`, `one_minus_max`, `one_minus_margin` or `unique_share`."""
    samples: int = 5
    """Texts per question, at least 2."""
    temperature: float = 0.7
    """Above 0, or all texts of a question were equal."""

    def __post_init__(self) -> None:
        refuse_too_few_samples(self.samples, self.temperature)
        if self.measure not in get_args(Disagreement):
            raise ValueError(f"measure={self.measure!r} is unknown; choose {', '.join(get_args(Disagreement))}")

    def requires(self) -> Requirements:
        """Nothing: every student has embeddings, and every format an answer path."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Largest product first; without earlier purchases the most uncertain one is the first.

        The score is distance times uncertainty; questions without any uncertainty come last, in a drawn order.
        """
        if context.round.warmup or not pool:
            return RandomSelection().rank(pool, context)
        questions = _shuffled(pool, context)
        found = sampled(questions, context, self.samples, self.temperature)
        uncertainty = np.array([disagreement(each.answers, self.measure) for each in found])
        order, scores, distances = _farthest_first(questions, context, uncertainty)
        return [
            Pick(
                questions[i],
                score,
                {"distance": distance, "uncertainty": float(uncertainty[i]), "answers": list(found[i].answers)},
            )
            for i, score, distance in zip(order, scores, distances, strict=True)
        ]


def _shuffled(pool: Sequence[Question], context: Context) -> list[Question]:
    """The pool in a drawn order that does not depend on the given one, so that of equal questions a draw decides."""
    return sorted(pool, key=lambda question: (float(context.rng("ties", question.id).random()), question.id))


def _embedded(questions: Sequence[Question], context: Context) -> np.ndarray:
    """[questions, width] float64, from the student as it is now."""
    shown = [context.task.show(question) for question in questions]
    return np.asarray(context.student.embeddings(shown), dtype=np.float64)


def _farthest_first(
    questions: Sequence[Question], context: Context, factors: np.ndarray
) -> tuple[list[int], list[float], list[float | None]]:
    """The farthest-first traversal by factor times distance: order, scores, and distances to what was taken before.

    Where nothing was taken before, the first one is the first with the largest factor, and has no distance.
    """
    bought = list({row.question.id: row.question for row in context.annotations}.values())
    points = _embedded([*questions, *bought], context)
    points -= points.mean(axis=0)  # smaller norms lose fewer digits in the products below
    norms = np.einsum("nd,nd->n", points, points)

    def to(centre: int) -> np.ndarray:
        """[questions] distances to one point."""
        squares = norms[: len(questions)] + norms[centre] - 2 * (points[: len(questions)] @ points[centre])
        found: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
        return found

    nearest = np.full(len(questions), np.inf)
    for centre in range(len(questions), len(points)):
        nearest = np.minimum(nearest, to(centre))
    order: list[int] = []
    scores: list[float] = []
    distances: list[float | None] = []
    left = np.ones(len(questions), dtype=bool)
    for _ in questions:
        is_first = not bought and not order
        worth = factors if is_first else factors * nearest
        chosen = int(np.argmax(np.where(left, worth, -1.0)))
        reach = to(chosen)
        distance = float(reach.max() if is_first else nearest[chosen])
        order.append(chosen)
        scores.append(float(factors[chosen]) * distance)
        distances.append(None if is_first else distance)
        left[chosen] = False
        nearest = np.minimum(nearest, reach)
    return order, scores, distances
