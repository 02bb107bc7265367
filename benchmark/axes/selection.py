"""Selections: which questions are annotated, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.contract import Context, Requirements
from benchmark.types import Pick, Question


@dataclass(frozen=True)
class RandomSelection:
    """All questions are equally likely; the order depends on the cell's seed."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """The whole pool in random order."""
        return [Pick(pool[i]) for i in context.rng("order").permutation(len(pool))]
