"""Schedules: how the budget is divided into rounds."""

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
        """One round with the whole budget; then None."""
        return None if history else Round(index=0, share=1.0)


@dataclass(frozen=True)
class NoTraining:
    """No round: the student is evaluated without training."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Returns None: no training."""
        return None
