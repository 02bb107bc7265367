"""How far a sweep is: what counts as finished, which cells foretell which, and how long the rest takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmark import sweep_progress
from benchmark.grid import GridCell
from benchmark.records.record import CellFolder
from benchmark.sweep_progress import SweepProgress
from tests.records.small_records import complete_record, failed_record

Run = Callable[..., Any]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time of the sweep by so many seconds."""
    now = [time.time()]
    monkeypatch.setattr(sweep_progress.time, "time", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def cell(results: Path, name: str, *overrides: str, status: str = "missing") -> GridCell:
    known = cast(Any, SimpleNamespace(results_dir=str(results)))
    return GridCell(name, known, overrides, cast(Any, status))


def finish(results: Path, name: str, seconds: float | None, *, failed: bool = False) -> None:
    record = failed_record(name) if failed else complete_record(name).model_copy(update={"seconds": seconds})
    CellFolder(results, name).finish(record)


def grid(results: Path) -> list[GridCell]:
    return [cell(results, f"{method}{seed}", f"method={method}", f"seed={seed}") for method in "ab" for seed in "123"]


def test_nothing_is_foretold_before_a_cell_has_finished(tmp_path: Path) -> None:
    progress = SweepProgress(grid(tmp_path))
    assert progress.look() == 0
    assert progress.line() == "sweep: 0 of 6 cells finished, time left not known yet"


def test_seeds_foretell_each_other_and_others_take_the_mean(tmp_path: Path) -> None:
    progress = SweepProgress(grid(tmp_path))
    finish(tmp_path, "a1", 100.0)
    assert progress.look() == 1
    assert progress.seconds_left() == pytest.approx(2 * 100 + 3 * 100)
    finish(tmp_path, "b1", 40.0)
    assert progress.look() == 1
    assert progress.seconds_left() == pytest.approx(2 * 100 + 2 * 40)
    assert progress.line() == "sweep: 2 of 6 cells finished, about 5 min left"
    assert progress.look() == 0


def test_cells_at_work_share_the_rest_and_have_done_some(tmp_path: Path, clock: Callable[[float], None]) -> None:
    progress = SweepProgress(grid(tmp_path))
    finish(tmp_path, "a1", 100.0)
    folders = [CellFolder(tmp_path, name) for name in ("a2", "b1")]
    progress.look()
    clock(30)
    assert progress.seconds_left() == pytest.approx((70 + 100 + 70 + 100 + 100) / 2)
    clock(1000)
    assert progress.seconds_left() == pytest.approx((0 + 100 + 0 + 100 + 100) / 2)
    folders[0].discard()
    progress.look()
    assert progress.seconds_left() == pytest.approx(100 + 100 + 0 + 100 + 100)


def test_cells_that_were_complete_before_foretell_too(tmp_path: Path) -> None:
    finish(tmp_path, "a1", 100.0)
    cells = [cell(tmp_path, "a1", "method=a", "seed=1", status="complete"), cell(tmp_path, "a2", "method=a", "seed=2")]
    assert SweepProgress(cells).line() == "sweep: 1 of 2 cells finished, about 2 min left"


def test_an_earlier_failure_counts_once_it_is_replaced(tmp_path: Path) -> None:
    finish(tmp_path, "a1", None, failed=True)
    os.utime(tmp_path / "a1" / "record.json", (1, 1))
    progress = SweepProgress([cell(tmp_path, name, status="failed") for name in ("a1", "a2")])
    assert progress.look() == 0
    finish(tmp_path, "a1", None, failed=True)
    assert progress.look() == 1
    assert progress.line() == "sweep: 1 of 2 cells finished (1 failed), time left not known yet"


def test_cells_that_wait_for_others_count_from_the_beginning(tmp_path: Path) -> None:
    progress = SweepProgress([cell(tmp_path, "a1", "seed=1")], waiting=2)
    assert progress.line() == "sweep: 0 of 3 cells finished, time left not known yet"
    finish(tmp_path, "a1", 60.0)
    assert progress.look() == 1
    assert progress.line() == "sweep: 1 of 3 cells finished, about 2 min left"
    progress.follow([cell(tmp_path, name, "seed=2") for name in ("a2", "a3")])
    assert progress.line() == "sweep: 1 of 3 cells finished, about 2 min left"
    finish(tmp_path, "a2", 60.0)
    assert progress.look() == 1
    assert progress.line() == "sweep: 2 of 3 cells finished, about 60 s left"


def test_a_record_without_times_and_a_folder_that_went_away(tmp_path: Path) -> None:
    progress = SweepProgress(grid(tmp_path / "results"))
    finish(tmp_path / "results", "a1", None)
    progress.look()
    (tmp_path / "results").rename(tmp_path / "moved")
    assert progress.look() == 0
    assert progress.line() == "sweep: 1 of 6 cells finished, time left not known yet"


def test_a_sweep_says_its_time_left(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(sweep_progress, "SHORTEST_SILENCE_SECONDS", 0.0)
    done = command("-m", *miniature, "seed=1,2,3", "references=false")
    lines = [line.partition("sweep: ")[2] for line in done.err.splitlines() if "sweep: " in line]
    assert any(line.startswith("1 of 3 cells finished, about ") for line in lines), done.err
    monkeypatch.setattr(sweep_progress, "LONGEST_SILENCE_SECONDS", 0.0)
    assert "sweep: " not in command("-m", *miniature, "seed=4", "references=false").err


def test_launches_of_one_sweep_are_counted_together(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(sweep_progress, "SHORTEST_SILENCE_SECONDS", 0.0)
    done = command("-m", *miniature, "seed=1,2,3", "references=false", "hydra.sweeper.max_batch_size=1")
    assert "sweep: 2 of 3 cells finished, about " in done.err
