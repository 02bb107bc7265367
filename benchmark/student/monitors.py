"""What a loss shows of a step beside its value: means over target positions, for the loggers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class StepMonitors:
    """Collects the sums of one step's micro-batches (`contract.Monitors`)."""

    def __init__(self) -> None:
        self._totals: dict[str, tuple[float, int]] = {}

    def add(self, sums: Mapping[str, torch.Tensor], count: int) -> None:
        """Adds sums over `count` positions of a micro-batch."""
        for name, value in sums.items():
            total, positions = self._totals.get(name, (0.0, 0))
            self._totals[name] = total + float(value), positions + count

    def means(self) -> dict[str, float]:
        """`monitor/NAME` -> mean over all positions that were added; empty if there was none."""
        return {f"monitor/{name}": total / count for name, (total, count) in self._totals.items() if count}
