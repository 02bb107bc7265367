"""Weightings: how much each annotation counts in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.contract import Context, Requirements
from benchmark.types import Annotation


@dataclass(frozen=True)
class UniformWeighting:
    """Every annotation keeps its weight of 1, right or wrong."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def weigh(
        self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context
    ) -> Mapping[str, tuple[float, str]]:
        """Empty: no weight changes."""
        return {}
