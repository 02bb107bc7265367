"""Which questions show best how methods differ: the ones that some answer rightly and others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import pvariance

from analysis.statistics.grouping import natural_order


def disagreement(results: Sequence[float]) -> float:
    """How far methods disagree on one question: the variance of their results, in [0, 0.25].

    A result is a grade in [0, 1]: 1 is right and 0 is wrong. With a share p of right answers it is p (1 - p): 0 where
    all are right or all are wrong, and 0.25 where half of them are right.
    """
    return pvariance(results) if results else 0.0


def chosen_questions(results: Mapping[str, Sequence[float]], most: int) -> tuple[list[str], list[str]]:
    """(the questions with the most disagreement, at most two thirds of `most`; questions drawn evenly from all others).

    Nothing is random: equal disagreement goes by the id, and the others are taken at equal distances in the order of
    their ids, so that they are as typical as the test set.

    Args:
        results: id of a question -> each method's result on it, in [0, 1].
        most: how many questions are wanted in all.
    """
    ordered = sorted(results, key=natural_order)
    ranked = sorted(ordered, key=lambda question: -disagreement(results[question]))
    disputed = [question for question in ranked if disagreement(results[question]) > 0][: most - most // 3]
    others = [question for question in ordered if question not in set(disputed)]
    return disputed, _evenly(others, most - len(disputed))


def _evenly(items: Sequence[str], count: int) -> list[str]:
    """`count` of the items at equal distances, the first one included; all of them if there are no more."""
    if count >= len(items):
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]
