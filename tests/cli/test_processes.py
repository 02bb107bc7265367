"""Cells in processes of their own: equal numbers, killed workers, two commands at once, seeds of Python's hashes."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cells import Silent

Run = Callable[..., Any]

PLUG = '''
    import os
    import time
    from dataclasses import dataclass
    from pathlib import Path
    from benchmark.axes.format import AnswerOnly

    @dataclass(frozen=True)
    class Dies(AnswerOnly):
        """Ends its process as soon as the other cell is at work."""

        folder: str

        def examples(self, annotations, task, data_rng):
            wait_for(Path(self.folder) / "neighbour", 20)
            os._exit(9)

    @dataclass(frozen=True)
    class Neighbour(AnswerOnly):
        """Is at work when the process beside it dies; a second time it works at once."""

        folder: str

        def examples(self, annotations, task, data_rng):
            first = not (Path(self.folder) / "neighbour").exists()
            (Path(self.folder) / "neighbour").touch()
            if first:
                wait_for(Path(self.folder) / "never", 20)
            return super().examples(annotations, task, data_rng)

    def wait_for(path, seconds):
        end = time.monotonic() + seconds
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
'''


@dataclass(frozen=True)
class Killed:
    """A sweep over joblib in which a worker was killed."""

    command: subprocess.CompletedProcess[str]
    results: Path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, repository: Path, miniature: tuple[str, ...]) -> Killed:
    """Two cells at a time: one dies while its neighbour works, one more waits."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "plug_processes.py").write_text(textwrap.dedent(PLUG))
    for name in ("dies", "neighbour"):
        path = folder / "conf" / "format" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"_target_: plug_processes.{name.title()}\nfolder: {folder}\n")
    sweep = (
        f"hydra.searchpath=[{folder / 'conf'}]", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *miniature,
        "method=gold_answers", "format=dies,neighbour,answer_only", "references=false",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "-m", *sweep],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(repository)))},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    return Killed(done, folder / "results")


def records(results: Path) -> dict[str, Any]:
    """Complete records by the format of their cell."""
    found = [json.loads(path.read_text()) for path in results.glob("*/record.json")]
    return {record["config"]["format"]["_target_"].rpartition(".")[2]: record for record in found}


def test_a_killed_worker_does_not_stop_the_rest(killed: Killed) -> None:
    done = records(killed.results)
    assert done["AnswerOnly"]["status"] == "complete"
    assert "Dies" not in done
    assert killed.command.returncode == 1
    assert "gold_answers+format=dies on chain_sum" in killed.command.stderr.partition("cells failed\n")[2]
    assert "Traceback" not in killed.command.stderr


@pytest.mark.slow  # by default one test alone asks for the sweep, so that one process alone pays for it
def test_the_neighbour_of_a_killed_worker_is_run_again(killed: Killed) -> None:
    assert "1 of 3 cells failed" in killed.command.stderr


@pytest.mark.slow
def test_joblib_gives_the_numbers_of_the_basic_launcher(
    killed: Killed, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    assert command(*miniature, "method=gold_answers").status == 0
    record = results.record()
    there = records(killed.results)["AnswerOnly"]
    assert record["cell_id"] == there["cell_id"]
    assert record["test"][0]["value"] == there["test"][0]["value"]
    assert record["rounds"] == there["rounds"]
    for name in ("predictions.parquet", "annotations.parquet"):
        ours, theirs = results.path / record["cell_id"] / name, killed.results / record["cell_id"] / name
        assert ours.read_bytes() == theirs.read_bytes()


def in_child(work: Callable[[Any], None], count: int) -> list[Any]:
    """What forked children put into the queue; the libraries need not be loaded anew there."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue,)) for _ in range(count)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        if child.is_alive():
            child.kill()
            pytest.fail("a child process did not end")
    return [queue.get(timeout=5) for _ in range(queue.qsize())]


def test_two_commands_at_once_train_a_cell_once(cell: Run, miniature: tuple[str, ...], results: Any) -> None:
    from benchmark.run_cell import run_cell

    run_cell(cell((*miniature, f"results_dir={results.path / 'warm'}")), Silent())  # loads what the children need
    wanted = cell((*miniature, f"results_dir={results.path / 'shared'}"))
    ready = multiprocessing.get_context("fork").Barrier(2)

    def work(queue: Any) -> None:
        ready.wait(30)
        queue.put(run_cell(wanted, Silent()).status)

    assert sorted(in_child(work, 2)) == ["already complete", "complete"]
    assert not (results.path / "shared" / ".attempts").exists()
    assert not list((results.path / "shared" / ".writing").iterdir())


def test_a_process_that_dies_leaves_no_cell(
    cell: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.records.record import CellFolder
    from benchmark.run_cell import run_cell

    wanted = cell((*miniature, f"results_dir={results.path}"))

    def work(queue: Any) -> None:
        monkeypatch.setattr(CellFolder, "finish", lambda *_: os._exit(9))
        run_cell(wanted, Silent())

    in_child(work, 1)
    assert not results.cells()
    [left] = (results.path / ".writing").iterdir()
    assert {"predictions.parquet", "annotations.parquet"} <= {path.name for path in left.iterdir()}
    assert not (left / "record.json").exists()
    assert run_cell(wanted, Silent()).status == "complete"
    assert results.record()["status"] == "complete"


IDS = """
from hydra import compose, initialize_config_dir
from benchmark.app import CONF
from benchmark.cell.composition import read_cell
from benchmark.cell.identity import cell_id
with initialize_config_dir(str(CONF), version_base="1.3"):
    for method in ("rationale_then_answer", "step_by_step_human_labels", "untrained"):
        config = compose("config", [f"method={method}", "dataset.pool_size=40"], return_hydra_config=True)
        print(cell_id(read_cell(config, config.hydra)))
"""


def test_ids_are_the_same_in_every_process(cell: Run, repository: Path) -> None:
    from benchmark.cell.identity import cell_id

    names = ("rationale_then_answer", "step_by_step_human_labels", "untrained")
    here = [cell_id(cell((f"method={name}", "dataset.pool_size=40"))) for name in names]
    for seed in ("0", "4711"):
        there = subprocess.run(
            [sys.executable, "-c", IDS],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.split() == here


CHANGING = """
    from dataclasses import dataclass
    from benchmark.axes.format import AnswerOnly

    @dataclass(frozen=True)
    class Changing(AnswerOnly):
        def read(self, text):
            return "", text
"""


def test_a_method_whose_source_changed_is_run_again_by_the_next_process(
    command: Run, run_cli: Run, plugin: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    """No setting differs, so that only its source tells the new method from the one whose cell is there."""
    configs = {"format/changing": "_target_: plug_changing.Changing\n"}
    folder = plugin({"plug_changing.py": CHANGING}, configs)
    overrides = (folder, *miniature, "method=untrained", "format=changing")
    assert command(*overrides).status == 0
    plugin({"plug_changing.py": CHANGING.replace('"", text', '"", text[::-1]')}, configs)
    again = run_cli(*overrides, PYTHONPATH=str(tmp_path / "elsewhere"))
    assert again.returncode == 0, again.stderr
    assert len(results.cells()) == 2, again.stderr
    one, two = (record["identity"] for record in results.records())
    assert one["sources"]["plug_changing"] != two["sources"]["plug_changing"]
    assert {**one, "sources": {}} == {**two, "sources": {}}
