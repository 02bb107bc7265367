"""What a loss shows of a step beside its value: means over target positions, for the loggers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmark.student import ranks

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
        """`monitor/NAME` -> mean over all positions that all processes added; empty if there was none."""
        totals = ranks.summed({name: total for name, (total, _) in self._totals.items()})
        counts = ranks.summed({name: count for name, (_, count) in self._totals.items()})
        return {f"monitor/{name}": total / counts[name] for name, total in totals.items() if counts[name]}
