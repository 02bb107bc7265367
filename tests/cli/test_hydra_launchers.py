"""One sweep gives the same records under every launcher, also where a worker is killed in the middle of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmark.records.record_parts import TestScore

Run = Callable[..., Any]
PLUGINS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "ray": "hydra_plugins.hydra_ray_launcher",
}
LAUNCHERS = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(plugin) is None, reason=f"needs {plugin.rpartition('.')[2]}"))
    for name, plugin in PLUGINS.items()
]
GRID = ("method=gold_answers", "format=answer_only,deadly_once", "seed=1,2", "references=false")
MODULE = """
    import os
    import signal
    from dataclasses import dataclass
    from pathlib import Path

    from benchmark.axes.format import AnswerOnly


    @dataclass(frozen=True)
    class DeadlyOnce(AnswerOnly):
        def examples(self, annotations, task, data_rng):
            mark = os.environ.get("DEADLY_MARK")
            if mark and not Path(mark).exists():
                Path(mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().examples(annotations, task, data_rng)
"""


@pytest.fixture
def sweep(plugin: Run, run_cli: Run, miniature: tuple[str, ...], tmp_path: Path) -> Run:
    """Runs the grid under a launcher; with a mark that is not there, the first cell of one format kills its process."""
    elsewhere = plugin({"deadly_once.py": MODULE}, {"format/deadly_once": "_target_: deadly_once.DeadlyOnce\n"})

    def run(launcher: str, results: Path, **environment: str) -> Any:
        paths = os.pathsep.join(sys.path)  # the plug-in's folder is on it
        where = (f"hydra/launcher={launcher}", f"results_dir={results}")
        return run_cli("-m", elsewhere, *miniature, *GRID, *where, PYTHONPATH=paths, **environment)

    return run


def records(results: Path) -> dict[str, Any]:
    """Cell id -> what of its record does not depend on time, machine and command."""
    found = {}
    for path in sorted(results.glob("*/record.json")):
        record = json.loads(path.read_text())
        tests = [{k: v for k, v in test.items() if k not in TestScore.TIMES} for test in record["test"]]
        found[path.parent.name] = [record["status"], tests, record["rounds"], record["counters"], record["identity"]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_gives_the_same_records_and_a_killed_worker_costs_its_cell(
    sweep: Run, tmp_path: Path, launcher: str
) -> None:
    folders = [tmp_path / name for name in ("basic", "whole", "killed")]
    assert sweep("basic", folders[0]).returncode == 0
    done = sweep(launcher, folders[1])
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    expected = records(folders[0])
    assert len(expected) == 4
    assert records(folders[1]) == expected

    mark = tmp_path / "mark"
    killed = sweep(launcher, folders[2], DEADLY_MARK=str(mark))
    assert mark.exists()
    assert "Traceback" not in killed.stderr
    left = records(folders[2])
    assert {name: left[name] for name in left if left[name][0] == "complete"}.items() <= expected.items()
    assert len(left) >= 3
    assert sweep(launcher, folders[2], DEADLY_MARK=str(mark)).returncode == 0
    assert records(folders[2]) == expected


@pytest.mark.parametrize(("launcher", "extra"), [("ray", "ray"), ("submitit_slurm", "submitit")])
def test_a_launcher_without_its_package_names_the_extra(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch, launcher: str, extra: str
) -> None:
    monkeypatch.setattr("benchmark.extras.absence", lambda package: "is not installed")
    done = command("-m", *miniature, f"hydra/launcher={launcher}", "seed=1,2")
    assert done.status == 2
    assert done.err.startswith(f"error: hydra/launcher={launcher} needs the package hydra-{extra}-launcher")
    assert done.err.strip().endswith(f"pip install 'distillation-benchmark[{extra}]'")
    assert not results.path.exists()


@pytest.mark.skipif(find_spec(PLUGINS["submitit_local"]) is None, reason="needs hydra_submitit_launcher")
def test_submitit_gets_as_many_cells_at_once_as_there_are_cores(
    command: Run, miniature: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import submitit

    batches: list[int] = []

    def map_array(self: Any, function: Any, *arguments: Any) -> list[Any]:
        batches.append(len(arguments[0]))
        return []

    monkeypatch.setattr(submitit.AutoExecutor, "map_array", map_array)
    monkeypatch.setattr("benchmark.processor.usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command("-m", *miniature, "hydra/launcher=submitit_local", "seed=1,2,3,4,5", "references=false")
    assert batches == [2, 2, 1]
