"""What a method knows of the steps so far: it belongs to the student that they trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.contract import DataPolicy
from benchmark.types import Json


@dataclass
class LossMemory:
    """The memory of a loss."""

    value: Json = None
    """What `RememberingLoss.remembered` returned last; None before the first step."""


@dataclass
class Remembered:
    """The state of the data policy, and the memory of the loss."""

    policy: DataPolicy
    """The data policy, which holds its state itself."""
    of_loss: LossMemory = field(default_factory=LossMemory)

    def state_dict(self) -> dict[str, Json]:
        """Both, as plain JSON values."""
        return {"policy": self.policy.state_dict(), "loss": self.of_loss.value}

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Restores what `state_dict` returned."""
        self.policy.load_state_dict(state["policy"])
        self.of_loss.value = state["loss"]
