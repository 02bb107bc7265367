"""Weights & Biases, offline: a run of its own for every cell of a process, closed when the cell is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.records.loggers import WandbLog, cell_loggers
from benchmark.running.isolation import isolated
from tests.cells import Silent

wandb = pytest.importorskip("wandb")

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Whatever this machine knows of W&B is kept out, and a run that a test leaves open does not reach the next."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-home"))
    yield
    wandb.teardown()


def written(folder: Path) -> list[bytes]:
    """The offline runs below a folder, as W&B would upload them."""
    wandb.teardown()  # a process of its own writes them, a while after a run is finished
    return [path.read_bytes() for path in sorted(folder.glob("**/*.wandb"))]


def test_two_cells_of_one_process_have_a_run_each(cell: Run, miniature: tuple[str, ...], results: Any) -> None:
    from benchmark.run_cell import run_cell

    for seed in (1, 2):
        overrides = (*miniature, "logger=wandb", f"results_dir={results.path}", f"seed={seed}", "method=gold_answers")
        outcome = run_cell(cell(overrides), Silent())
        assert outcome.status == "complete", outcome.message
    assert len(results.records()) == 2
    wandb.teardown()
    assert not list((results.path / ".writing").iterdir())  # what W&B writes late follows the cell to its place
    for record in results.records():
        runs = written(results.path / record["cell_id"])
        assert len(runs) == 1, f"seed {record['seed']} has {len(runs)} runs"
        assert [f"seed {seed}".encode() in runs[0] for seed in (1, 2)] == [record["seed"] == 1, record["seed"] == 2]
        assert b"train/loss" in runs[0]
        # The score comes last, after training: what is missing here was written elsewhere or was never written out.
        assert b"test/accuracy" in runs[0]


@pytest.mark.parametrize("fails", [False, True])
def test_a_cell_closes_its_run(fails: bool, tmp_path: Path) -> None:
    opened = cell_loggers(WandbLog(), tmp_path, tmp_path / "attempts", "a cell", {"seed": 1})
    with contextlib.suppress(ZeroDivisionError), opened as loggers:
        [_, logger] = loggers
        run = logger.experiment
        run.log({"before": 1})
        if fails:
            raise ZeroDivisionError
    with pytest.raises(wandb.UsageError, match="finished"):
        run.log({"after": 1})
    assert b"before" in written(tmp_path)[0]


def test_a_run_that_a_part_leaves_open_ends_with_its_cell(tmp_path: Path) -> None:
    """A loss or a library that calls `wandb.init` and forgets it would swallow what the next one logs."""
    with isolated():
        wandb.init(mode="disabled", dir=tmp_path)
        assert wandb.run is not None
    assert wandb.run is None


def test_a_run_of_the_caller_stays_open(tmp_path: Path) -> None:
    mine = wandb.init(mode="disabled", dir=tmp_path)
    with isolated():
        pass
    assert wandb.run is mine
