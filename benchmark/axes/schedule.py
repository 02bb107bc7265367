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
class EqualRounds:
    """Several rounds with equal parts of the budget. The final student trains `optimization.max_steps` steps."""

    rounds: int = 3
    """The number of rounds."""
    restart: bool = True
    """True: every round trains the initial student anew, on all that is bought so far. False: the rounds continue the
    training of one student, and share its steps."""
    steps_shares: tuple[float, ...] | None = None
    """The share of `optimization.max_steps` of each round. None: with `restart` 1 for each, otherwise equal parts."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds} must be at least 1")
        if self.steps_shares is not None and len(self.steps_shares) != self.rounds:
            raise ValueError(
                f"steps_shares={list(self.steps_shares)} must have one share for each of {self.rounds} rounds"
            )

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """The next of `rounds` equal rounds; then None."""
        index = len(history)
        if index == self.rounds:
            return None
        share = None if self.steps_shares is None else self.steps_shares[index]
        return Round(index, 1 / self.rounds, restart=self.restart, steps_share=share)


@dataclass(frozen=True)
class NoTraining:
    """No round: the student is evaluated without training."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Returns None: no training."""
        return None
