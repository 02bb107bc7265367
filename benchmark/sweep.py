"""A sweep over Hydra's grid, seen as cells: all checked first, only missing ones launched, failures told at the end."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from benchmark.cell import AXES, CHOICES, Cell, read_cell
from benchmark.config import COMPOSING_ERRORS, explain
from benchmark.errors import ConfigError, SweepFailed
from benchmark.plan import check
from benchmark.runs.catalog import state_of
from benchmark.runs.identity import cell_id

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

Overrides = tuple[str, ...]
REFERENCE = "method=untrained"


@dataclass(frozen=True)
class PlannedCell:
    """A cell of the grid with the overrides that make it."""

    cell_id: str
    cell: Cell
    overrides: Overrides
    finished: bool


@dataclass
class Sweep:
    """The cells of one command. `compose` turns overrides into a full config."""

    compose: Callable[[Overrides], DictConfig]
    cells: dict[str, PlannedCell] = field(default_factory=dict)

    def plan(self, grid: Sequence[Overrides]) -> list[Overrides]:
        """The overrides of the cells without a complete record. Raises ConfigError with all reasons against them."""
        problems: dict[str, list[Overrides]] = {}
        wanted = [*grid, *self._references(grid)]
        for overrides in wanted:
            try:
                self._add(overrides)
            except COMPOSING_ERRORS as error:
                problems.setdefault(explain(error, CHOICES), []).append(overrides)
        if problems:
            raise ConfigError(_all_problems(problems, len(wanted)))
        missing = [planned.overrides for planned in self.cells.values() if not planned.finished]
        sys.stderr.write(f"{len(self.cells)} cells, {len(self.cells) - len(missing)} complete, {len(missing)} to run\n")
        for results, cells in self._by_results_dir():
            _write_manifest(results, cells)
        return missing

    def _add(self, overrides: Overrides) -> None:
        config = self.compose(overrides)
        _refuse_several_sweeps(config, overrides)
        cell = read_cell(config, config.hydra)
        check(cell)
        identifier = cell_id(cell)
        if identifier not in self.cells:  # the same science twice in one grid runs once
            state = state_of(Path(cell.results_dir), identifier)
            if state.status == "damaged":
                sys.stderr.write(f"warning: {state.problem}\n")
            self.cells[identifier] = PlannedCell(identifier, cell, overrides, state.status == "complete")

    def _references(self, grid: Sequence[Overrides]) -> Iterator[Overrides]:
        """The untrained student of each dataset, student and seed, for the tables; none if `references=false`."""
        for overrides in dict.fromkeys(_reference_of(cell) for cell in grid):
            try:
                wanted = self.compose(overrides).references
            except COMPOSING_ERRORS:
                continue  # the cell itself has the same fault and tells it
            if wanted:
                yield overrides

    def _by_results_dir(self) -> Iterable[tuple[Path, list[PlannedCell]]]:
        folders: dict[Path, list[PlannedCell]] = {}
        for planned in self.cells.values():
            folders.setdefault(Path(planned.cell.results_dir), []).append(planned)
        return folders.items()

    def launch(self, launch: Callable[[list[Overrides]], Sequence[Any]], batch: list[Overrides]) -> list[Any]:
        """Launches cells; where the launcher breaks (a worker was killed), goes on with those that are left.

        Cells that were at work when it broke may have been killed with the guilty one: each is tried once more, alone.
        """
        returns: list[Any] = []
        queue = [batch]
        while queue:
            now = queue.pop(0)
            before = self._at_work()
            try:
                returns += launch(now)
            except ConfigError:
                raise
            except Exception as error:
                reason = str(error).partition("\n")[0]
                sys.stderr.write(f"warning: the launcher stopped ({type(error).__name__}: {reason}); going on\n")
                if len(now) == 1:
                    continue  # it killed its process by itself; the report tells
                left = [cell for cell in self.cells.values() if cell.overrides in now and not _is_complete(cell)]
                at_work = self._at_work() - before
                suspects = [cell.overrides for cell in left if cell.cell_id in {i for i, _ in at_work}]
                rest = [cell.overrides for cell in left if cell.overrides not in suspects]
                if not suspects:  # it died without a trace, so nobody knows which
                    suspects, rest = rest, []
                queue = [*([rest] if rest else []), *queue, *([suspect] for suspect in suspects)]
        return returns

    def _at_work(self) -> set[tuple[str, str]]:
        """(cell, process) of what is being written, what dead processes left behind included."""
        folders = {Path(planned.cell.results_dir) / ".writing" for planned in self.cells.values()}
        names = [path.name.partition("-") for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return {(cell_id, process) for cell_id, _, process in names}

    def report(self) -> None:
        """Tells how the sweep ended. Raises SweepFailed, listing them, where cells are not complete."""
        broken = [planned for planned in self.cells.values() if not _is_complete(planned)]
        folders = " ".join(str(results) for results, _ in self._by_results_dir())
        if not broken:
            sys.stderr.write(f"{len(self.cells)} cells complete; python -m analysis table --results {folders}\n")
            return
        lines = [f"  {planned.cell_id}  {planned.cell.describe()}: {_problem(planned)}" for planned in broken]
        raise SweepFailed(f"{len(broken)} of {len(self.cells)} cells failed\n" + "\n".join(lines))


def grid_composer(loader: ConfigLoader, master: DictConfig) -> Callable[[Overrides], DictConfig]:
    """How a cell's config is composed inside a sweep."""

    def compose(overrides: Overrides) -> DictConfig:
        config = loader.load_sweep_config(master, list(overrides))
        HydraConfig.instance().set_config(config)
        return config

    return compose


def _reference_of(overrides: Overrides) -> Overrides:
    """The untrained student of a cell: the same overrides without what only training and its data can feel."""
    unused = ("method", "budget", "optimization", "teacher", *AXES)
    kept = [o for o in overrides if o.partition("=")[0].lstrip("+~").partition(".")[0] not in unused]
    precision = [o for o in overrides if o.startswith("optimization.precision=")]
    return (*kept, *precision, REFERENCE)


def _refuse_several_sweeps(config: DictConfig, overrides: Overrides) -> None:
    """Hydra reads an experiment's own sweep only where it stands alone; beside another it drops it silently."""
    params = config.hydra.sweeper.params or {}
    swept = {override.partition("=")[0] for override in overrides}
    if "experiment" in swept and set(params) - swept:
        raise ConfigError(
            f"experiment={config.hydra.runtime.choices.experiment} is itself a sweep over {', '.join(params)}; "
            "run it alone"
        )


def _all_problems(problems: dict[str, list[Overrides]], total: int) -> str:
    return "; ".join(
        f"{message} ({len(where)} of {total} cells, such as {' '.join(where[0])})" if total > 1 else message
        for message, where in problems.items()
    )


def _is_complete(planned: PlannedCell) -> bool:
    return state_of(Path(planned.cell.results_dir), planned.cell_id).status == "complete"


def _problem(planned: PlannedCell) -> str:
    return (
        state_of(Path(planned.cell.results_dir), planned.cell_id).problem or "its process died before it could say why"
    )


def _write_manifest(results: Path, cells: Sequence[PlannedCell]) -> None:
    """Says which cells the sweep wants, so that missing ones can be told from unwanted ones."""
    folder = results / ".manifests"
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    rows = [
        {
            "cell_id": planned.cell_id,
            "method": planned.cell.method.name,
            "dataset": planned.cell.dataset.name,
            "student": planned.cell.student.name,
            "teacher": planned.cell.teacher.name if planned.cell.asks_teacher else None,
            "seed": planned.cell.seed,
        }
        for planned in cells
    ]
    name = f"{now.strftime('%Y%m%dT%H%M%S%f')}-{os.getpid()}"
    partial = folder / f".{name}"
    partial.write_text(json.dumps({"created": now.isoformat(), "cells": rows}, indent=1), encoding="utf-8")
    partial.rename(folder / f"{name}.json")
