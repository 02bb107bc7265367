"""What a record keeps of a cell's decisions: ranked questions, stages of training, and the seconds of each phase."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmark.types import Json


@dataclass(frozen=True)
class RankedQuestion:
    """A question that a selection ranked in a round: one row of `picks.parquet`."""

    round: int
    """The index of the round."""
    rank: int
    """1 is the best."""
    question_id: str
    """The question's id in its dataset."""
    score: float | None
    """The selection's score; None where it gave none."""
    evidence: Mapping[str, Json]
    """What the selection left beside the score."""
    bought: bool
    """Whether it was annotated in this round."""


@dataclass(frozen=True)
class TrainedStage:
    """A stage of a curriculum: one row of `stages.parquet`."""

    round: int
    """The index of the round."""
    stage: int
    """Counts from 0 in each round."""
    first_step: int
    """Optimiser steps of the round before the stage."""
    steps: int
    """Optimiser steps of the stage."""
    examples: int
    """Number of training examples."""
    groups: int
    """Number of their groups."""
    order: tuple[str, ...]
    """The groups in the order in which the curriculum gave them; with `shuffle`, each pass has another one."""
    shuffle: bool
    """Whether the order is shuffled in each pass."""
    fresh_optimiser: bool
    """Whether the optimiser's state started anew."""
    settings: Mapping[str, float]
    """The loss's settings in the stage, its defaults included."""
    memory: Json
    """What the curriculum kept for its next stage."""


@dataclass
class PhaseClock:
    """Adds up the seconds of each phase. One phase runs at a time: an inner one stops the clock of the outer one."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Phase -> wall-clock seconds; the running phase's are added when it ends."""
    phase: str = ""
    """The running phase; empty before the first."""
    since: float = field(default_factory=time.perf_counter)
    """When the running phase went on."""

    def enter(self, phase: str) -> None:
        """Ends the running phase and begins another."""
        now = time.perf_counter()
        if self.phase:
            self.seconds[self.phase] += now - self.since
        self.phase, self.since = phase, now

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Runs a phase inside of the running one, which goes on afterwards."""
        outer = self.phase
        self.enter(phase)
        try:
            yield
        finally:
            self.enter(outer)

    def totals(self) -> dict[str, float]:
        """Phase -> seconds so far."""
        self.enter(self.phase)
        return dict(self.seconds)

    def restore(self, seconds: Mapping[str, float]) -> None:
        """Goes on from the totals of an earlier attempt; what was counted in this one is dropped."""
        self.seconds = defaultdict(float, seconds)
        self.since = time.perf_counter()
