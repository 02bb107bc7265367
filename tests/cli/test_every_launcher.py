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
from collections.abc import Callable, Iterator, Mapping, Sequence
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
            while self.has_to_wait(state.step):
                (Path(self.folder) / f"waits-{state.step}").touch()
                time.sleep(0.05)
            return super().values(batch, student, state)

        def has_to_wait(self, step):
            try:
                return int((Path(self.folder) / "wait").read_text() or 100) <= step
            except FileNotFoundError:
                return False
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
        self.wait = folder / "wait"
        """Holds the first step that has to wait; absent where none has to."""
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

    def workers(self, process: subprocess.Popen[str], count: int) -> list[int]:
        """The ids of the processes that train, once there are so many."""
        self.eventually(process, lambda: len(list(self.folder.glob("at-work-*"))) >= count)
        return [int(trace.name.rpartition("-")[2]) for trace in self.folder.glob("at-work-*")]

    def eventually(self, process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
        """Waits until something is so; fails where the command ends before."""
        end = time.monotonic() + 300
        while not is_so():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.05)

    @contextlib.contextmanager
    def waiting(self, results: str, step: int, *launcher: str) -> Iterator[subprocess.Popen[str]]:
        """The command, whose cells wait at a step until the test lets them go; it has ended after the block."""
        for trace in self.folder.glob("*-*"):
            if trace.is_file():
                trace.unlink()
        self.wait.write_text(str(step))
        process = self.start(results, *launcher)
        try:
            yield process
        finally:
            self.wait.unlink(missing_ok=True)
            _end(process)

    def logs(self, results: str) -> str:
        """What submitit's jobs wrote on standard error."""
        return "".join(path.read_text() for path in (self.folder / results / ".sweep").rglob("*_log.err"))


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
    with runs.waiting(results, 0, *LAUNCHERS[launcher]) as process:
        os.kill(runs.workers(process, 2)[0], signal.SIGKILL)
        runs.wait.unlink()
        _, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert len(runs.records(results)) == 4, err
    again = runs.done(results, *LAUNCHERS[launcher])
    assert again.splitlines()[0] == "4 cells, 4 complete, 0 to run"
    assert runs.records(results) == runs.records("basic")
    assert runs.table(results) == runs.table("basic")


# --- signals of Slurm, sent to jobs of submitit on this machine ------------------------------------------------------

ONE_JOB = ("hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=1", "seed=1")


def test_a_job_whose_time_is_over_is_saved_and_goes_on_by_itself(runs: Runs) -> None:
    pytest.importorskip(PACKAGES["submitit_local"])
    with runs.waiting("timed-out", 2, *ONE_JOB) as process:
        [worker] = runs.workers(process, 1)
        runs.eventually(process, lambda: _waits_at(runs, 2))
        os.kill(worker, signal.SIGUSR2)
        time.sleep(1)  # its handler runs between two looks at the file
        runs.wait.write_text("3")
        runs.eventually(process, lambda: _waits_at(runs, 3))
        assert list((runs.folder / "timed-out" / ".journals").rglob("*.ckpt"))
        runs.wait.unlink()
        _, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert len(list(runs.folder.glob("at-work-*"))) == 2, "another process has ended the cell"
    [(cell, record)] = runs.records("timed-out").items()
    assert record == runs.records("basic")[cell]


def test_a_preempted_job_has_saved_its_fit_when_it_is_killed(runs: Runs) -> None:
    """Slurm sends SIGTERM, kills the job a little later, and queues it again; here the sweep does so."""
    pytest.importorskip(PACKAGES["submitit_local"])
    journals = runs.folder / "preempted" / ".journals"
    with runs.waiting("preempted", 1, *ONE_JOB) as process:
        [worker] = runs.workers(process, 1)
        runs.eventually(process, lambda: _waits_at(runs, 1))
        os.kill(worker, signal.SIGTERM)
        time.sleep(1)
        runs.wait.write_text("2")
        runs.eventually(process, lambda: bool(list(journals.rglob("*.ckpt"))))
        os.kill(worker, signal.SIGKILL)
        runs.wait.unlink()
        process.communicate(timeout=500)
        again = runs.done("preempted", *ONE_JOB)
    assert "goes on where an earlier attempt stopped" in runs.logs("preempted")
    assert again.splitlines()[-1].startswith("1 cells complete")
    [(cell, record)] = runs.records("preempted").items()
    assert record == runs.records("basic")[cell]


def _waits_at(runs: Runs, step: int) -> bool:
    return (runs.folder / f"waits-{step}").exists()
