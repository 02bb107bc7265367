"""A launcher that breaks in the middle of a sweep: what is launched again and what is told, without any process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmark.errors import SweepFailed
from benchmark.grid import Grid
from benchmark.records.record import CellFolder
from benchmark.sweep import Sweep
from tests.records.small_records import complete_record

Run = Callable[..., Any]


class BreakingLauncher:
    """Completes cells two at a time; a deadly one breaks it, with its neighbour in the middle of its work."""

    def __init__(self, sweep: Sweep, deadly: str, before_any_trace: bool = False) -> None:
        self.sweep, self.deadly, self.before_any_trace = sweep, deadly, before_any_trace
        self.launched: list[list[str]] = []

    def __call__(self, batch: Sequence[Sequence[str]]) -> list[str]:
        self.launched.append([self.seed(overrides) for overrides in batch])
        assert len(self.launched) < 10, "the sweep launches the same cells for ever"
        for i in range(0, len(batch), 2):
            pair = {self.seed(overrides): self.folder(overrides) for overrides in batch[i : i + 2]}
            if self.deadly in pair:
                raise RuntimeError("a worker was killed")
            for folder in pair.values():
                folder.finish(complete_record(folder.cell_id))
        return ["done"] * len(batch)

    def folder(self, overrides: Sequence[str]) -> CellFolder:
        """A cell at work; the deadly one may die before it writes anything."""
        [planned] = [cell for cell in self.sweep.grid.cells.values() if cell.overrides == tuple(overrides)]
        folder = CellFolder(self.sweep_results(), planned.cell_id)
        if self.before_any_trace and self.seed(overrides) == self.deadly:
            folder.discard()
        return folder

    def sweep_results(self) -> Any:
        """The results folder of every cell here."""
        from pathlib import Path

        return Path(next(iter(self.sweep.grid.cells.values())).cell.results_dir)

    @staticmethod
    def seed(overrides: Sequence[str]) -> str:
        """The override that tells these cells apart."""
        return next(override for override in overrides if override.startswith("seed="))


@pytest.fixture
def sweep(compose: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep of no cells yet, whose cells are read without Hydra's own state."""
    import benchmark.grid
    from benchmark.cell.composition import read_cell

    monkeypatch.setattr("benchmark.cell.composition.method_label", lambda config, hydra: "any")
    monkeypatch.setattr(benchmark.grid, "read_cell", read_cell)
    base = (*miniature, f"results_dir={results.path}", "references=false")
    return Sweep(Grid(lambda overrides: compose((*base, *overrides)), ()))


def planned(sweep: Sweep, seeds: Sequence[int]) -> list[tuple[str, ...]]:
    sweep.grid.asked = [(f"seed={seed}",) for seed in seeds]
    return sweep.missing_cells()


def failures(sweep: Sweep) -> list[str]:
    """The seeds of the cells that the report lists."""
    try:
        sweep.report()
    except SweepFailed as error:
        return [line.rpartition("seed ")[2].partition(":")[0] for line in str(error).splitlines()[1:]]
    return []


def test_what_had_not_begun_is_launched_again(sweep: Sweep) -> None:
    batch = planned(sweep, [1, 2, 3, 4, 5])
    launcher = BreakingLauncher(sweep, "seed=3")
    sweep.launch(launcher, batch)
    assert launcher.launched[0] == [f"seed={i}" for i in range(1, 6)]
    assert "seed=5" in launcher.launched[1]
    assert not {"seed=1", "seed=2"} & set(launcher.launched[1])
    assert "3" in failures(sweep)
    assert not {"1", "2", "5"} & set(failures(sweep))


def test_an_innocent_neighbour_is_launched_again(sweep: Sweep) -> None:
    batch = planned(sweep, [1, 2, 3, 4, 5])
    sweep.launch(BreakingLauncher(sweep, "seed=3"), batch)
    assert failures(sweep) == ["3"]


def test_a_cell_that_dies_again_is_told_again(sweep: Sweep) -> None:
    batch = planned(sweep, [3])
    sweep.launch(BreakingLauncher(sweep, "seed=3"), batch)
    assert failures(sweep) == ["3"]
    sweep.launch(BreakingLauncher(sweep, "seed=3"), batch)
    assert failures(sweep) == ["3"]


def test_a_cell_that_dies_before_it_begins_is_told(sweep: Sweep) -> None:
    batch = planned(sweep, [1, 2, 3])
    sweep.launch(BreakingLauncher(sweep, "seed=3", before_any_trace=True), batch)
    assert failures(sweep) == ["3"]
