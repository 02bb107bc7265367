"""Divergences that change with the loss of the steps so far; `methods/white_box.py` asks here, papers bring them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from benchmark.contract import StepState
from benchmark.types import Json

if TYPE_CHECKING:
    from collections.abc import Iterable


@runtime_checkable
class AdaptiveDivergence(Protocol):
    """A divergence whose `progress` follows its memory, and not the share of the steps that are done."""

    def progress(self, memory: Json) -> float:
        """The `progress` that it is called with, in [0, 1]; `memory` is None before the first step."""
        ...

    def remembered(self, memory: Json, loss: float, done: float) -> Json:
        """The memory after a step, as plain JSON values.

        `loss` is the step's sum of terms with this divergence, in nats; `done` the share of the fit's steps before it.
        """
        ...


def progress_of(divergences: Iterable[object], state: StepState) -> float:
    """How far training is, in [0, 1]: what an adaptive divergence says, else the share of the steps that are done."""
    adaptive = next((each for each in divergences if isinstance(each, AdaptiveDivergence)), None)
    return state.step / state.total_steps if adaptive is None else adaptive.progress(state.memory)


def memory_after(divergence: object, memory: Json, terms: Mapping[str, float], state: StepState, ending: str) -> Json:
    """The memory after a step: of the terms whose names have this ending; None for a divergence that is not adaptive.

    A step without such a term leaves the memory as it is.
    """
    if not isinstance(divergence, AdaptiveDivergence):
        return None
    losses = [value for name, value in terms.items() if name.endswith(ending)]
    return divergence.remembered(memory, sum(losses), state.step / state.total_steps) if losses else memory
