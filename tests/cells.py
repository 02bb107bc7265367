"""How tests make a cell from overrides, and the small parts that the cells of many tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.app import CONF
from benchmark.conformance import miniature
from benchmark.conformance.miniature import SMALLEST_STUDENT
from benchmark.console.progress import Silent

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.cell.cell import Cell

__all__ = ["SMALLEST_STUDENT", "Silent", "composed_cell", "composed_config", "read"]


def composed_config(overrides: Sequence[str] = ()) -> DictConfig:
    """The config of the overrides with its `hydra` node; of two for one key the later one counts."""
    return miniature.composed_config(CONF, overrides)


def read(config: DictConfig) -> Cell:
    """The cell of a composed config."""
    return miniature.read(CONF, config)


def composed_cell(overrides: Sequence[str] = ()) -> Cell:
    """The cell of the overrides."""
    return read(composed_config(overrides))
