"""How tests make a cell from overrides, and the small parts that the cells of many tests share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.console.progress import Advance
from benchmark.cell.cell import Cell
from benchmark.console.progress import show_nothing

SMALLEST_STUDENT = (
    "student.hidden_size=16",
    "student.intermediate_size=32",
    "student.layers=1",
    "student.attention_heads=2",
)


def composed_config(overrides: Sequence[str] = ()) -> DictConfig:
    """The config of the overrides with its `hydra` node; of two for one key the later one counts."""
    import hydra

    with _hydra():
        return hydra.compose("config", list(overrides), return_hydra_config=True)


def read(config: DictConfig) -> Cell:
    """The cell of a composed config."""
    from benchmark.cell.composition import read_cell

    with _hydra():
        return read_cell(config, config.hydra)


def composed_cell(overrides: Sequence[str] = ()) -> Cell:
    """The cell of the overrides."""
    return read(composed_config(overrides))


@contextmanager
def _hydra() -> Iterator[None]:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from benchmark.app import CONF

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()


class Silent:
    """A display that shows nothing."""

    def say(self, state: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Advance]:
        """Nothing."""
        yield show_nothing
