"""Launching a grid: only missing cells, again where the launcher breaks, with every failure listed at the end."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.cell.overrides import Overrides
from benchmark.console.stderr_lines import write_line
from benchmark.errors import ConfigError, SweepFailed
from benchmark.grid import Grid, GridCell
from benchmark.interruption import was_asked_to_stop, workers_stop_first
from benchmark.records.catalog import cell_on_disk
from benchmark.records.manifest import write_manifest
from benchmark.records.schema import CellNames
from benchmark.sweep_progress import SweepProgress, shown

_NO_RECORD = "it has no record: its process died, or its results folder was deleted or moved"


@dataclass
class Sweep:
    """Launches the cells of a grid that has been read."""

    grid: Grid

    def stages(self) -> Iterator[list[Overrides]]:
        """The cells to launch: those that need no other cell, then those that start from a student of the first.

        The second stage is looked up once the first one has run. Raises as `missing_cells` does, and SweepFailed where
        nothing is left to run because the cells failed that all others start from.
        """
        yield self.missing_cells()
        if not self.grid.waiting:
            return
        ran = set(self.grid.cells)
        try:
            self.grid.read_waiting()
        except ConfigError as error:
            if any(each.is_prerequisite and not _is_complete(each) for each in self.grid.cells.values()):
                write_line(f"refused: {error}")
                self.report()  # raises SweepFailed: their failure is the reason, and not the command
            raise
        self._write_manifests()
        new = [each for each in self.grid.cells.values() if each.cell_id not in ran]
        self._progress.follow(new)
        yield [each.overrides for each in new if each.status != "complete"]

    def missing_cells(self) -> list[Overrides]:
        """The overrides of the cells without a complete record. Writes the manifest, and says how many cells are left.

        Raises ConfigError with all reasons where the command has a mistake, or where none of its cells can run.
        """
        self.grid.read()
        cells = self.grid.cells.values()
        for each in cells:
            if each.status == "damaged":
                sys.stderr.write(f"warning: {_problem(each)}\n")
        missing = [each.overrides for each in cells if each.status != "complete"]
        refused, waiting = len(self.grid.refused), len(self.grid.waiting)
        complete, total = len(cells) - len(missing), len(cells) + waiting + refused
        counts = f"{total} cells, {complete} complete, {len(missing) + waiting} to run"
        counts += self.grid.launcher.words if missing else ""
        counts += f", {refused} refused" if refused else ""
        first = sum(each.is_prerequisite and each.status != "complete" for each in cells)
        sys.stderr.write(counts + (f"; {waiting} start from {first} of the others\n" if waiting else "\n"))
        self._write_manifests()
        return missing

    def _write_manifests(self) -> None:
        for results, of_folder in self._by_results_dir():
            write_manifest(results, list(map(_names, of_folder)), self._started)

    @cached_property
    def _started(self) -> datetime.datetime:
        """When the sweep first knew what it wants."""
        return datetime.datetime.now(datetime.UTC)

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
                with workers_stop_first(), self.grid.launcher.environment(), shown(self._progress):
                    returns += launch(now)
            except ConfigError:
                raise
            except Exception as error:
                if was_asked_to_stop():
                    raise KeyboardInterrupt from error
                reason = str(error).partition("\n")[0]
                sys.stderr.write(f"warning: the launcher stopped ({type(error).__name__}: {reason}); going on\n")
                if len(now) == 1:
                    continue  # it killed its process by itself; the report tells
                left = [cell for cell in self.grid.cells.values() if cell.overrides in now and not _is_complete(cell)]
                at_work = self._at_work() - before
                suspects = [cell.overrides for cell in left if cell.cell_id in {i for i, _ in at_work}]
                rest = [cell.overrides for cell in left if cell.overrides not in suspects]
                if not suspects:  # it died without a trace, so nobody knows which
                    suspects, rest = rest, []
                queue = [*([rest] if rest else []), *queue, *([suspect] for suspect in suspects)]
            if was_asked_to_stop():
                raise KeyboardInterrupt
        return returns

    @cached_property
    def _progress(self) -> SweepProgress:
        """One for all launches, so that the cells of earlier launches count."""
        return SweepProgress(list(self.grid.cells.values()))

    def _at_work(self) -> set[tuple[str, str]]:
        """(cell, process) of what is being written, what dead processes left behind included."""
        folders = {Path(each.cell.results_dir) / ".writing" for each in self.grid.cells.values()}
        names = [path.name.partition("-") for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return {(cell_id, process) for cell_id, _, process in names}

    def report(self) -> None:
        """Tells how the sweep ended. Raises SweepFailed, listing them, where cells are not complete.

        Raises ConfigError where all that could run is complete, and other cells were refused.
        """
        broken = [each for each in self.grid.cells.values() if not _is_complete(each)]
        folders = " ".join(str(results) for results, _ in self._by_results_dir())
        if not broken:
            sys.stderr.write(f"{len(self.grid.cells)} cells complete; python -m analysis table --results {folders}\n")
            self.grid.refuse_rest()
            return
        lines = [f"  {each.cell_id}  {each.cell.describe()}: {_problem(each)}" for each in broken]
        refused = len(self.grid.refused)
        also = f", and {refused} others refused, as said at the beginning" if refused else ""
        raise SweepFailed(f"{len(broken)} of {len(self.grid.cells)} cells failed{also}\n" + "\n".join(lines))

    def _by_results_dir(self) -> Iterable[tuple[Path, list[GridCell]]]:
        folders: dict[Path, list[GridCell]] = {}
        for each in self.grid.cells.values():
            folders.setdefault(Path(each.cell.results_dir), []).append(each)
        return folders.items()


def _is_complete(each: GridCell) -> bool:
    return cell_on_disk(Path(each.cell.results_dir), each.cell_id).status == "complete"


def _problem(each: GridCell) -> str:
    return cell_on_disk(Path(each.cell.results_dir), each.cell_id).problem or _NO_RECORD


def _names(each: GridCell) -> CellNames:
    cell = each.cell
    return CellNames(
        cell_id=each.cell_id,
        method=cell.method.name,
        dataset=cell.dataset.name,
        student=cell.student.name,
        teacher=cell.teacher.name if cell.asks_teacher else None,
        seed=cell.seed,
    )
