"""One sweep under every launcher that runs on one machine: equal records, and a killed worker that costs no cell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=2"),
    "ray": ("hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2"),
}
PACKAGES = {"submitit_local": "hydra_plugins.hydra_submitit_launcher", "ray": "hydra_plugins.hydra_ray_launcher"}
PLUG = """
    import os
    import time
    from dataclasses import dataclass
    from pathlib import Path
    from benchmark.axes.loss import CrossEntropy

    @dataclass(frozen=True)
    class Watched(CrossEntropy):
        folder: str = ""

        def values(self, batch, student, state):
            (Path(self.folder) / f"at-work-{os.getpid()}").touch()
            while (Path(self.folder) / "wait").exists():
                time.sleep(0.05)
            return super().values(batch, student, state)
"""
TIMES = re.compile(r"seconds|_seconds|_by_phase|results_dir|peak_memory|provenance")
"""Fields of a record that name times, memory, the folder or the process."""


class Runs:
    """The same sweep of four cells, in processes of their own."""

    def __init__(self, folder: Path, repository: Path, miniature: Sequence[str]) -> None:
        self.folder, self.repository = folder, repository
        self.sweep = (
            f"hydra.searchpath=[{folder / 'conf'}]",
            *miniature,
            "loss=watched",
            "seed=1,2,3,4",
            "references=false",
        )
        (folder / "plug_every_launcher.py").write_text(textwrap.dedent(PLUG))
        (folder / "conf" / "loss").mkdir(parents=True)
        config = f"_target_: plug_every_launcher.Watched\nfolder: {folder}\n"
        (folder / "conf" / "loss" / "watched.yaml").write_text(config)

    def start(self, results: str, *launcher: str) -> subprocess.Popen[str]:
        """The command, at work; its threads are not given, as a newcomer would run it."""
        given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        paths = os.pathsep.join((str(self.folder), str(self.repository)))
        return subprocess.Popen(
            [sys.executable, "-m", "benchmark", "-m", *self.sweep, *launcher, f"results_dir={self.folder / results}"],
            cwd=self.folder,
            env={**given, "PYTHONPATH": paths},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def done(self, results: str, *launcher: str) -> str:
        """What the command wrote on standard error, once it has ended well."""
        process = self.start(results, *launcher)
        try:
            _, err = process.communicate(timeout=500)
        finally:
            _end(process)
        assert process.returncode == 0, err
        return err

    def records(self, results: str) -> dict[str, Any]:
        """By cell its record without times."""
        found = {
            path.parent.name: json.loads(path.read_text()) for path in (self.folder / results).glob("*/record.json")
        }
        return {cell: dict(_timeless(record)) for cell, record in found.items()}

    def table(self, results: str) -> str:
        """The table that the analysis prints."""
        done = subprocess.run(
            [sys.executable, "-m", "analysis", "table", "--results", results],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.repository)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.replace(results, "")

    def kill_a_worker(self, process: subprocess.Popen[str]) -> None:
        """Kills the first process that trains, in the middle of a step, with another beside it."""
        end = time.monotonic() + 300
        while len(workers := list(self.folder.glob("at-work-*"))) < 2:
            assert process.poll() is None, "the sweep ended before two cells trained side by side"
            assert time.monotonic() < end, "no two cells trained side by side"
            time.sleep(0.05)
        os.kill(int(workers[0].name.rpartition("-")[2]), signal.SIGKILL)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _timeless(node: Any, at: str = "") -> Any:
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield at, node
        return
    for key, value in items:
        if not TIMES.search(str(key)):
            yield from _timeless(value, f"{at}.{key}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, repository: Path, miniature: tuple[str, ...]) -> Runs:
    """The sweep, run once by the basic launcher into `basic`."""
    made = Runs(tmp_path_factory.mktemp("launchers"), repository, miniature)
    made.done("basic")
    assert len(made.records("basic")) == 4
    return made


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest) -> str:
    """The name of a launcher whose package is here."""
    if request.param in PACKAGES:
        pytest.importorskip(PACKAGES[request.param])
    return str(request.param)


def test_a_sweep_has_the_records_of_the_basic_launcher(launcher: str, runs: Runs) -> None:
    err = runs.done(launcher, *LAUNCHERS[launcher])
    assert err.splitlines()[0] == f"4 cells, 0 complete, 4 to run, 2 at a time ({launcher})"
    assert runs.records(launcher) == runs.records("basic")


def test_a_killed_worker_costs_no_cell(launcher: str, runs: Runs) -> None:
    results = f"killed-{launcher}"
    for trace in runs.folder.glob("at-work-*"):
        trace.unlink()
    (runs.folder / "wait").touch()
    process = runs.start(results, *LAUNCHERS[launcher])
    try:
        runs.kill_a_worker(process)
        (runs.folder / "wait").unlink()
        _, err = process.communicate(timeout=500)
    finally:
        (runs.folder / "wait").unlink(missing_ok=True)
        _end(process)
    assert process.returncode == 0, err
    assert len(runs.records(results)) == 4, err
    again = runs.done(results, *LAUNCHERS[launcher])
    assert again.splitlines()[0] == "4 cells, 4 complete, 0 to run"
    assert runs.records(results) == runs.records("basic")
    assert runs.table(results) == runs.table("basic")
