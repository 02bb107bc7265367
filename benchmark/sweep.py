"""A sweep over Hydra's grid, seen as cells: all checked first, only missing ones launched, failures told at the end.

With `mode=plan` it is told what would be launched, and nothing is; with `mode=annotate` the teacher store is filled.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from benchmark.cell.cell import Cell
from benchmark.cell.composition import AXES, CHOICES, SCALARS, read_cell
from benchmark.cell.identity import cell_id
from benchmark.cell.sources import student_download
from benchmark.config import COMPOSING_ERRORS, explain, leaf
from benchmark.errors import ConfigError, SweepFailed
from benchmark.planning.checks import check, check_preparation, check_without_trace
from benchmark.planning.plan_table import Listed, Names, names_of, preview
from benchmark.records.catalog import cell_on_disk
from benchmark.running.annotate_ahead_table import PreparedCell, report

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

Overrides = tuple[str, ...]
REFERENCE = "method=untrained"
NAMED = ("method", "dataset", "student", "seed")
ONE_MODE = "a command runs its cells, plans them or annotates ahead"


@dataclass(frozen=True)
class GridCell:
    """A cell of the grid with the overrides that make it."""

    cell_id: str
    cell: Cell
    overrides: Overrides
    status: Literal["complete", "failed", "damaged", "missing"]


@dataclass(frozen=True)
class RefusedCell:
    """A cell of the grid that cannot run; `cell` is None where its config cannot even be read."""

    overrides: Overrides
    reason: str
    cell: Cell | None


@dataclass
class Sweep:
    """The cells of one command. `compose` turns overrides into a full config."""

    compose: Callable[[Overrides], DictConfig]
    cells: dict[str, GridCell] = field(default_factory=dict)

    def plan(self, grid: Sequence[Overrides]) -> list[Overrides]:
        """The overrides of the cells without a complete record. Raises ConfigError with all reasons against them."""
        wanted = self._wanted(grid)
        refused = self._take_up(wanted, "run", check)
        if refused:
            raise ConfigError("; ".join(_reasons(refused, len(wanted))))
        for each in self.cells.values():
            if each.status == "damaged":
                sys.stderr.write(f"warning: {_problem(each)}\n")
        missing = [each.overrides for each in self.cells.values() if each.status != "complete"]
        sys.stderr.write(f"{len(self.cells)} cells, {len(self.cells) - len(missing)} complete, {len(missing)} to run\n")
        for results, cells in self._by_results_dir():
            _write_manifest(results, cells)
        return missing

    def preview(self, grid: Sequence[Overrides]) -> str:
        """What would be run, as a table; writes nothing. Raises ConfigError where no cell of the grid can run."""
        wanted = self._wanted(grid)
        refused = self._take_up(wanted, "plan", check_without_trace)
        reasons = _reasons(refused, len(wanted))
        if {cell.overrides for cell in refused}.issuperset(grid):
            raise ConfigError("; ".join(reasons))
        varied = _varied_settings(wanted)
        possible = [
            Listed(names_of(each.cell), varied(each.overrides), each.cell, each.status) for each in self.cells.values()
        ]
        impossible = [Listed(self._names(each), varied(each.overrides)) for each in refused]
        return preview([*possible, *impossible], reasons)

    def prepare(self, grid: Sequence[Overrides]) -> None:
        """Buys what can be bought before training, cell by cell in this process, and prints what came of it.

        Raises ConfigError where a cell of the grid is impossible, before anything is bought; SweepFailed at the end
        where cells could not be prepared.
        """
        from benchmark.running.annotate_ahead import prepare  # imports torch, which takes seconds

        refused = self._take_up(list(dict.fromkeys(grid)), "annotate", check_preparation)
        if refused:
            raise ConfigError("; ".join(_reasons(refused, len(grid))))
        varied, done = _varied_settings(grid), []
        try:
            for number, each in enumerate(self.cells.values(), 1):
                sys.stderr.write(f"{number} of {len(self.cells)}: {each.cell.describe()}\n")
                done.append(PreparedCell(names_of(each.cell), varied(each.overrides), prepare(each.cell, _say)))
        finally:
            sys.stdout.write(report(done))
        failed = sum(cell.done.failure is not None for cell in done)
        if failed:
            raise SweepFailed(f"{failed} of {len(done)} cells could not be prepared; the same command goes on")

    def _wanted(self, grid: Sequence[Overrides]) -> list[Overrides]:
        return list(dict.fromkeys([*grid, *self._references(grid)]))

    def _take_up(self, wanted: Sequence[Overrides], mode: str, check_cell: Callable[[Cell], None]) -> list[RefusedCell]:
        """Fills `cells` with those that can run; returns the others."""
        refused = []
        for overrides in wanted:
            cell = None
            try:
                config = self.compose(overrides)
                _refuse_several_sweeps(config, overrides)
                cell = read_cell(config, config.hydra)
                if cell.mode != mode:
                    raise ConfigError(f"mode={cell.mode} in a cell of a sweep with mode={mode}: {ONE_MODE}")
                check_cell(cell)
                self._add(cell, overrides)
            except COMPOSING_ERRORS as error:
                refused.append(RefusedCell(overrides, explain(error, CHOICES), cell))
        return refused

    def _add(self, cell: Cell, overrides: Overrides) -> None:
        if cell.mode == "annotate" or (cell.mode == "plan" and student_download(cell) is not None):
            name = " ".join(overrides)  # its id holds what only the student can tell: content, or the hub's commit
            self.cells[name] = GridCell(name, cell, overrides, "missing")
            return
        identifier = cell_id(cell)
        if identifier not in self.cells:  # the same science twice in one grid runs once
            status = cell_on_disk(Path(cell.results_dir), identifier).status
            self.cells[identifier] = GridCell(identifier, cell, overrides, status)

    def _names(self, refused: RefusedCell) -> Names:
        """What a refused cell is called; where nobody could read it, as the command calls it."""
        if refused.cell is not None:
            return names_of(refused.cell)
        given = dict(map(_key_and_value, refused.overrides))
        other = next(iter(self.cells.values())).cell  # what is not given here is given nowhere in the grid
        usual = (str(other.config["method"]), other.dataset.name, other.student.name, str(other.seed))
        method, dataset, student, seed = (given.get(*pair) for pair in zip(NAMED, usual, strict=True))
        return method, dataset, student, seed

    def _references(self, grid: Sequence[Overrides]) -> Iterator[Overrides]:
        """The untrained student of each dataset, student and seed, for the tables; none if `references=false`."""
        for overrides in dict.fromkeys(_reference_of(cell) for cell in grid):
            try:
                wanted = self.compose(overrides).references
            except COMPOSING_ERRORS:
                continue  # the cell itself has the same fault and tells it
            if wanted:
                yield overrides

    def _by_results_dir(self) -> Iterable[tuple[Path, list[GridCell]]]:
        folders: dict[Path, list[GridCell]] = {}
        for each in self.cells.values():
            folders.setdefault(Path(each.cell.results_dir), []).append(each)
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
        folders = {Path(each.cell.results_dir) / ".writing" for each in self.cells.values()}
        names = [path.name.partition("-") for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return {(cell_id, process) for cell_id, _, process in names}

    def report(self) -> None:
        """Tells how the sweep ended. Raises SweepFailed, listing them, where cells are not complete."""
        broken = [each for each in self.cells.values() if not _is_complete(each)]
        folders = " ".join(str(results) for results, _ in self._by_results_dir())
        if not broken:
            sys.stderr.write(f"{len(self.cells)} cells complete; python -m analysis table --results {folders}\n")
            return
        lines = [f"  {each.cell_id}  {each.cell.describe()}: {_problem(each)}" for each in broken]
        raise SweepFailed(f"{len(broken)} of {len(self.cells)} cells failed\n" + "\n".join(lines))


def grid_composer(loader: ConfigLoader, master: DictConfig) -> Callable[[Overrides], DictConfig]:
    """How a cell's config is composed inside a sweep."""

    def compose(overrides: Overrides) -> DictConfig:
        config = loader.load_sweep_config(master, list(overrides))
        HydraConfig.instance().set_config(config)
        return config

    return compose


def mode_of(given: Sequence[Override], config: DictConfig) -> str:
    """The mode of a whole command. Raises ConfigError where it is swept or is none."""
    ours = [override for override in given if override.key_or_group == "mode" and not override.is_delete()]
    for override in ours:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: it cannot be swept; {ONE_MODE}")
    value = ours[-1].value() if ours else config.get("mode", "run")
    return str(leaf(SCALARS["mode"], value, "mode"))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


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


def _varied_settings(grid: Sequence[Overrides]) -> Callable[[Overrides], str]:
    """What of a cell's overrides differs within the grid and is not in its names already, as every axis is."""
    values: dict[str, set[str]] = {}
    for key, value in (_key_and_value(override) for overrides in grid for override in overrides):
        values.setdefault(key, set()).add(value)
    named = {key for key in values if key in NAMED or key.partition(".")[0] in AXES}
    varied = {key for key, seen in values.items() if len(seen) > 1} - named
    return lambda overrides: " ".join(_shown(o) for o in overrides if _key_and_value(o)[0] in varied)


def _key_and_value(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def _shown(override: str) -> str:
    """An override as it may be printed: a setting that is refused because it may hold a key is not repeated."""
    key, value = _key_and_value(override)
    setting = key.rpartition(".")[2]
    may_be_key = setting == "api_key_variable" and value not in os.environ
    may_hold_key = setting == "base_url" and not {"@", "?", "#"}.isdisjoint(value)
    return f"{key}=[not shown]" if may_be_key or may_hold_key else override


def _reasons(refused: Sequence[RefusedCell], total: int) -> list[str]:
    """Every reason once, with the number of cells that it hits and one of them."""
    hit: dict[str, list[Overrides]] = {}
    for cell in refused:
        hit.setdefault(cell.reason, []).append(cell.overrides)
    return [
        f"{reason} ({len(where)} of {total} cells, such as {' '.join(map(_shown, where[0]))})" if total > 1 else reason
        for reason, where in hit.items()
    ]


def _is_complete(each: GridCell) -> bool:
    return cell_on_disk(Path(each.cell.results_dir), each.cell_id).status == "complete"


def _problem(each: GridCell) -> str:
    return cell_on_disk(Path(each.cell.results_dir), each.cell_id).problem or "its process died before it could say why"


def _write_manifest(results: Path, cells: Sequence[GridCell]) -> None:
    """Says which cells the sweep wants, so that missing ones can be told from unwanted ones."""
    folder = results / ".manifests"
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    rows = [
        {
            "cell_id": each.cell_id,
            "method": each.cell.method.name,
            "dataset": each.cell.dataset.name,
            "student": each.cell.student.name,
            "teacher": each.cell.teacher.name if each.cell.asks_teacher else None,
            "seed": each.cell.seed,
        }
        for each in cells
    ]
    name = f"{now.strftime('%Y%m%dT%H%M%S%f')}-{os.getpid()}"
    partial = folder / f".{name}"
    partial.write_text(json.dumps({"created": now.isoformat(), "cells": rows}, indent=1), encoding="utf-8")
    partial.rename(folder / f"{name}.json")
