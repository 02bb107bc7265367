"""What a launcher's file becomes on this machine: how many cells at one time, in which batches, with which threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from benchmark import launchers
from benchmark.launchers import Launcher, cells_at_once, launcher_of

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve cores, all packages, and no threads given."""
    monkeypatch.setattr(launchers, "_cores", lambda: 12)
    monkeypatch.setattr(launchers, "absence", lambda module: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("arguments", "at_once", "batch"),
    [
        (("hydra/launcher=basic",), 1, None),
        (("hydra/launcher=joblib",), 8, None),
        (("hydra/launcher=joblib", "hydra.launcher.n_jobs=3"), 3, None),
        (("hydra/launcher=submitit_local",), 8, 8),
        (("hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=5"), 5, 5),
        (("hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=-1"), None, -1),
        (("hydra/launcher=submitit_slurm",), 32, None),
        (("hydra/launcher=ray",), 8, None),
        (("hydra/launcher=ray", "hydra.launcher.ray.remote.num_cpus=4"), 2, None),
        (("hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2"), 2, None),
        (("hydra/launcher=ray_cluster",), None, None),
    ],
)
def test_how_many_cells_at_one_time(
    arguments: tuple[str, ...], at_once: int | None, batch: int | None, compose: Run
) -> None:
    config = compose((*arguments, "trainer.accelerator=cpu"))
    found = launcher_of(config, config.hydra.sweeper.max_batch_size)
    assert found.option == arguments[0].partition("=")[2]
    assert (found.at_once, found.batch_size) == (at_once, batch)
    assert found.spreads == (at_once != 1)


def test_cells_on_a_gpu_are_not_put_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.student.hardware.device_type", lambda name: "cpu" if name == "cpu" else "cuda")
    assert [cells_at_once(name) for name in ("cpu", "auto", "gpu")] == [8, 1, 1]
    assert [launchers.gpus_per_cell(name) for name in ("cpu", "auto", "gpu")] == [0, 1, 1]


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [
        (Launcher("basic", 1), None),
        (Launcher("joblib", 4), "3"),
        (Launcher("joblib", 40), "1"),
        (Launcher("submitit_local", None), "1"),
        (Launcher("submitit_slurm", 32, is_here=False), None),
    ],
)
def test_cells_side_by_side_share_the_cores(launcher: Launcher, threads: str | None) -> None:
    with launcher.environment():
        assert os.environ.get("OMP_NUM_THREADS") == threads
    assert "OMP_NUM_THREADS" not in os.environ


def test_threads_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    with Launcher("joblib", 4).environment():
        assert os.environ["OMP_NUM_THREADS"] == "5"
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_submitit_gets_a_bounded_batch_without_a_flag(
    command: Run, miniature: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts all cells that it gets."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    from benchmark.sweep import Sweep

    batches: list[int] = []

    def launch(sweep: Sweep, launch: Any, batch: list[Any]) -> list[Any]:
        batches.append(len(batch))
        return []

    monkeypatch.setattr(launchers, "_cores", lambda: 2)
    monkeypatch.setattr(Sweep, "launch", launch)
    monkeypatch.setattr(Sweep, "report", lambda _: None)
    done = command("-m", *miniature, "hydra/launcher=submitit_local", "seed=1,2,3,4,5", "references=false")
    assert done.status == 0, done.err
    assert done.err.splitlines() == ["5 cells, 0 complete, 5 to run, 2 at a time (submitit_local)"]
    assert batches == [2, 2, 1]
