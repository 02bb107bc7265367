"""Selections: which questions are annotated, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.contract import Context, Requirements
from benchmark.types import Pick, Question


@dataclass(frozen=True)
class RandomSelection:
    """All questions are equally likely; the order is drawn anew in every round and for every seed of the cell."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """The whole pool in random order."""
        return [Pick(pool[i]) for i in context.rng("order").permutation(len(pool))]


@dataclass(frozen=True)
class FixedRandomSelection:
    """One random order for all rounds and for all seeds that share a data_seed.

    Each question has a number of its own, so that neither the pool's order nor what was bought before decides. Seeds
    then differ by training alone, and larger budgets hold the questions of smaller ones.
    """

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """The whole pool by the questions' numbers."""
        return [Pick(q) for q in sorted(pool, key=lambda q: (float(context.data_rng("order", q.id).random()), q.id))]
