"""Curricula: the order in which the student sees its examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.contract import Context, Requirements
from benchmark.types import Stage, TrainingExample


@dataclass(frozen=True)
class Shuffled:
    """All examples in one stage, in a new random order for every pass."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        """One stage with all examples and all steps; then None."""
        return None if done else Stage(examples)
