"""ELAD's end: no more rounds once the student is sufficient, even if budget is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmark.contract import Requirements, Schedule
from benchmark.types import Round, RoundLog


@dataclass(frozen=True)
class UntilSufficient:
    """The rounds of another schedule, until the student is sufficient by one of two rules.

    One rule looks at validation: several rounds in a row gained too little. The other looks at the revision, which
    counts flaws anyway: the teacher found a flaw in hardly any explanation of the last batch. Neither costs a call.
    """

    rounds: Schedule
    """The schedule whose rounds are taken."""
    least_gain: float = 0.005
    """A gain in validation, in [0, 1], below which a round counts as idle; 0 turns the rule off."""
    patience: int = 2
    """So many idle rounds in a row end the cell."""
    tolerated_flaws: float = 0.1
    """The largest share of flawed explanations, in [0, 1], of a sufficient student. A random first round counts too:
    what it bought is revised like all else."""

    def __post_init__(self) -> None:
        if self.patience < 1 or not 0 <= self.tolerated_flaws <= 1 or self.least_gain < 0:
            raise ValueError(
                f"patience={self.patience} must be at least 1, tolerated_flaws={self.tolerated_flaws} a share, "
                f"least_gain={self.least_gain} at least 0"
            )

        second = self.rounds.next_round((RoundLog(Round(0, 0.0), 0, {}, {}, {}, {"accuracy": 0.0}, {}),))
        if second is not None and not second.restart:
            raise ValueError(
                "rounds.restart=false continues one student, which would be left half-trained by an early end; set "
                "rounds.restart=true"
            )

    def requires(self) -> Requirements:
        """What the other schedule requires."""
        return self.rounds.requires()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """The other schedule's next round, with all steps: it may be the last. None once the student is sufficient."""
        if history and (self._gains_nothing(history) or self._is_approved(history[-1])):
            return None
        round_ = self.rounds.next_round(history)
        return None if round_ is None else replace(round_, steps_share=None)

    def _gains_nothing(self, history: Sequence[RoundLog]) -> bool:
        values = [next(iter(log.validation.values())) for log in history[-self.patience - 1 :]]
        gains = [after - before for before, after in pairwise(values)]
        return self.least_gain > 0 and len(gains) == self.patience and all(gain < self.least_gain for gain in gains)

    def _is_approved(self, log: RoundLog) -> bool:
        checked = log.notes.get("checked", 0)
        return checked > 0 and log.notes["flawed"] <= self.tolerated_flaws * checked
