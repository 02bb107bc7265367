"""Schedules: into which rounds the budget is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.contract import Requirements
from benchmark.types import Round, RoundLog


@dataclass(frozen=True)
class OneShot:
    """The whole budget in one round."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """One round, then none."""
        return None if history else Round(index=0, share=1.0)


@dataclass(frozen=True)
class NoTraining:
    """No round at all: the student is evaluated as it is."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Never a round."""
        return None
