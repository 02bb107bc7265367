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
class GrowingRounds:
    """Several rounds of growing batches. The final student trains `optimization.max_steps` steps."""

    rounds: int = 5
    """The number of rounds."""
    growth: float = 1.5
    """How many times as large each batch is as the one before; 1 makes them equal."""
    warmup: bool = True
    """Whether the first round draws at random, because the student cannot yet say what it needs."""
    restart: bool = True
    """True: every round trains the initial student anew, on all that is bought so far. False: the rounds continue the
    training of one student, and share its steps by their batches."""
    early_steps_share: float | None = None
    """With `restart`, the share of `optimization.max_steps` that students before the last one train, in (0, 1]; None is
    1. They only choose questions, so that fewer steps save time."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.growth > 0:
            raise ValueError(f"rounds={self.rounds} must be at least 1, growth={self.growth} above 0")
        if self.early_steps_share is not None and not self.restart:
            raise ValueError(
                f"early_steps_share={self.early_steps_share} has no meaning with restart=false, where all rounds train "
                "the final student; make it null"
            )

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """The next of `rounds` rounds; then None."""
        index = len(history)
        if index == self.rounds:
            return None
        share = self.growth**index / sum(self.growth**i for i in range(self.rounds))
        last = index == self.rounds - 1
        steps = share if not self.restart else None if last else self.early_steps_share
        return Round(index, share, restart=self.restart, warmup=self.warmup and index == 0, steps_share=steps)


@dataclass(frozen=True)
class TwoStages:
    """A small share of the budget first, drawn at random, to warm the student up; then the rest."""

    warmup: float = 0.2
    """The first stage's share of the budget, in (0, 1)."""
    restart: bool = False
    """False: the student goes on from where the warm-up left it, and the stages share its steps by their budgets.
    True: the second stage trains the initial student anew, with all steps, on what both stages bought."""

    def __post_init__(self) -> None:
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup={self.warmup} leaves nothing to one of the two stages")

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Two rounds; then None."""
        rest = 1 - self.warmup
        first = Round(0, self.warmup, warmup=True, steps_share=None if self.restart else self.warmup)
        second = Round(1, rest, restart=self.restart, steps_share=None if self.restart else rest)
        return (first, second)[len(history)] if len(history) < 2 else None


@dataclass(frozen=True)
class NoTraining:
    """No round: the student is evaluated without training."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Returns None: no training."""
        return None
