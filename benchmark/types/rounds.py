"""The rounds of a cell and what is known of them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.types.requests import Usage


@dataclass(frozen=True)
class Round:
    """One round: it buys annotations for its share of the budget, then trains."""

    index: int
    """Counts from 0."""
    share: float
    """The round's own share of the budget, in [0, 1]."""
    restart: bool = True
    """Whether training restarts from the initial student."""
    warmup: bool = False
    """True if selections should not rely on the student yet."""
    steps_share: float | None = None
    """The share of `optimization.max_steps` that the round trains, in (0, 1]; the rounds that continue one student
    share the steps among themselves. None: an equal part of what the shares of these rounds leave."""


@dataclass(frozen=True)
class RoundLog:
    """What is known of a finished round."""

    round: Round
    """The round."""
    annotated: int
    """Questions that the whole cell has annotated so far."""
    charged: Mapping[str, Usage]
    """Source -> what the whole cell was charged so far, for `teacher` and `human`."""
    spent: Mapping[str, Usage]
    """Source -> what was really paid so far."""
    computed: Mapping[str, Usage]
    """Phase -> what local models read and wrote so far."""
    validation: Mapping[str, float]
    """Metric -> value on the validation split after the round."""
    notes: Mapping[str, float]
    """Sums of what the round's parts counted with `Context.note`."""
    optimiser_steps: int = 0
    """Optimiser steps of this round alone."""
