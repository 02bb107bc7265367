"""Ctrl-C and SIGTERM save what a cell has done; the same command ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark import interruption
from benchmark.records.record import CellFolder

Run = Callable[..., Any]

PLUG = """
    import shutil
    import signal
    from dataclasses import dataclass
    from pathlib import Path
    from benchmark.axes.annotation import FewShotCot
    from benchmark.axes.loss import CrossEntropy

    HAPPENS = {}

    @dataclass(frozen=True)
    class Disturbed(CrossEntropy):
        def values(self, batch, student, state):
            HAPPENS.get(("step", state.step), lambda: None)()
            return super().values(batch, student, state)

    @dataclass(frozen=True)
    class DisturbedTeacher(FewShotCot):
        async def annotate(self, pick, context, ask):
            HAPPENS.get("question", lambda: None)()
            return await super().annotate(pick, context, ask)
"""
CONFIGS = {
    "loss/disturbed": "_target_: plug_interruption.Disturbed\n",
    "annotation/disturbed": "_target_: plug_interruption.DisturbedTeacher\nsamples: 1\ntemperature: 0.0\n",
}
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
by_signal = pytest.mark.parametrize(("number", "status"), SIGNALS, ids=["ctrl-c", "sigterm"])


@pytest.fixture(autouse=True)
def _ctrl_c_is_not_ignored() -> Iterator[None]:
    """A shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def arguments(plugin: Run, miniature: tuple[str, ...]) -> tuple[str, ...]:
    """A cell of eight steps whose loss and annotation do what `happens` says."""
    folder = plugin({"plug_interruption.py": PLUG}, CONFIGS)
    return (folder, *miniature, "loss=disturbed", "annotation=disturbed", "optimization.max_steps=8",
            "trainer.log_every_n_steps=1")  # fmt: skip


def happens(at: Any, what: Callable[[], Any]) -> None:
    """Sets what happens once, at a step of the loss or at a question."""
    table = importlib.import_module("plug_interruption").HAPPENS

    def once() -> None:
        table.pop(at)
        what()

    table[at] = once


@pytest.fixture
def undisturbed(command: Run, arguments: tuple[str, ...], results: Any) -> dict[str, Any]:
    """What the cell leaves where nothing happens; its folder is put away."""
    assert command(*arguments).status == 0
    left = left_by(results)
    shutil.rmtree(results.path)
    return left


def left_by(results: Any) -> dict[str, Any]:
    [cell_id] = results.cells()
    curves = (results.path / cell_id / "log" / "metrics.csv").read_text()
    return {"id": cell_id, "predictions": results.table(cell_id).to_dict(), "curves": curves}


@by_signal
def test_a_fit_is_saved_at_its_step(
    number: signal.Signals, status: int, undisturbed: dict[str, Any], command: Run, arguments: tuple[str, ...],
    results: Any,
) -> None:  # fmt: skip
    happens(("step", 4), lambda: signal.raise_signal(number))
    stopped = command(*arguments)
    assert stopped.status == status
    assert stopped.err.splitlines()[-2:] == [
        "stopping after this step; once more stops at once",
        "interrupted: training is saved at step 5 of 8; the same command goes on from here",
    ]
    assert not results.cells()
    assert not (results.path / ".attempts").exists()
    again = command(*arguments)
    assert again.status == 0
    assert "goes on where an earlier attempt stopped" in again.err
    assert ", 5 of them before" in again.err
    assert left_by(results) == undisturbed


@by_signal
def test_a_purchase_keeps_what_is_bought(
    number: signal.Signals, status: int, undisturbed: dict[str, Any], command: Run, arguments: tuple[str, ...],
    results: Any,
) -> None:  # fmt: skip
    happens("question", lambda: signal.raise_signal(number))
    stopped = command(*arguments)
    assert stopped.status == status
    assert stopped.err.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert not results.cells()
    assert command(*arguments).status == 0
    assert left_by(results) == undisturbed


def test_a_second_signal_stops_at_once(
    command: Run, arguments: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "SECONDS_OF_ONE_REQUEST", -1.0)

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    happens(("step", 4), twice)
    stopped = command(*arguments)
    assert stopped.status == 130
    assert "stopped at once" in stopped.err
    assert not list(results.path.rglob("*.ckpt"))


def test_signals_close_together_are_one(command: Run, arguments: tuple[str, ...], results: Any) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    happens(("step", 4), twice)
    assert "training is saved at step 5 of 8" in command(*arguments).err


def test_a_sweep_begins_no_other_cell(command: Run, arguments: tuple[str, ...], results: Any) -> None:
    sweep = ("-m", *arguments, "seed=1,2", "references=false")
    happens(("step", 2), lambda: signal.raise_signal(signal.SIGTERM))
    stopped = command(*sweep)
    assert stopped.status == 143
    assert stopped.err.count("started") == 1
    again = command(*sweep)
    assert again.status == 0, again.err
    assert again.err.splitlines()[0] == "2 cells, 0 complete, 2 to run"
    assert len(results.cells()) == 2


def test_handlers_are_given_back(command: Run, arguments: tuple[str, ...]) -> None:
    before = [signal.getsignal(number) for number, _ in SIGNALS]
    happens(("step", 4), lambda: signal.raise_signal(signal.SIGTERM))
    command(*arguments)
    assert [signal.getsignal(number) for number, _ in SIGNALS] == before


# --- the results folder goes away ------------------------------------------------------------------------------------


def deleted(results: Any) -> None:
    """The whole folder is deleted."""
    shutil.rmtree(results.path)


def moved(results: Any) -> None:
    """The folder gets another name."""
    results.path.rename(results.path.with_name("moved"))


def became_a_file(results: Any) -> None:
    """A file stands in its place."""
    shutil.rmtree(results.path)
    results.path.write_text("")


@pytest.mark.parametrize("what", [deleted, moved, became_a_file], ids=lambda what: what.__name__)
@pytest.mark.parametrize("sweep", [(), ("-m", "references=false")], ids=["alone", "sweep"])
def test_a_results_folder_that_goes_away(
    what: Callable[[Any], None], sweep: tuple[str, ...], command: Run, arguments: tuple[str, ...], results: Any
) -> None:
    happens(("step", 4), lambda: what(results))
    done = command(*sweep, *arguments)
    assert done.status == 1
    assert "Traceback" not in done.err
    assert "results_dir=results was deleted or moved while the cell ran" in done.err
    if sweep:
        assert done.err.splitlines()[-1].endswith(
            "it has no record: its process died, or its results folder was deleted or moved"
        )


def test_a_full_disk_is_one_sentence(
    command: Run, arguments: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    happens(("step", 4), lambda: monkeypatch.setattr(CellFolder, "finish", full))
    done = command(*arguments)
    assert done.status == 1
    assert (
        "error: results_dir=results cannot be written (No space left on device); the cell has no record, "
        "and the same command runs it again"
    ) in done.err
    monkeypatch.undo()
    assert command(*arguments).status == 0


# --- workers ---------------------------------------------------------------------------------------------------------

SLOW = """
    import os
    import time
    from dataclasses import dataclass
    from pathlib import Path
    from benchmark.axes.loss import CrossEntropy

    @dataclass(frozen=True)
    class Slow(CrossEntropy):
        folder: str = ""

        def values(self, batch, student, state):
            Path(self.folder, f"at-work-{os.getpid()}").touch()
            time.sleep(0.3)
            return super().values(batch, student, state)
"""


@pytest.mark.slow
def test_workers_save_before_a_sweep_ends(tmp_path: Path, repository: Path, miniature: tuple[str, ...]) -> None:
    """Two cells at a time, and a third that must not begin."""
    (tmp_path / "plug_slow.py").write_text(textwrap.dedent(SLOW))
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "slow.yaml").write_text(f"_target_: plug_slow.Slow\nfolder: {tmp_path}\n")
    sweep = (
        f"hydra.searchpath=[{tmp_path / 'conf'}]", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *miniature,
        "loss=slow", "seed=1,2,3", "references=false", "optimization.max_steps=1000",
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "-m", *sweep],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(repository)))},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 300
        while len(list(tmp_path.glob("at-work-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert err.count(": started") == 2
    assert len(list((tmp_path / "results" / ".journals").rglob("*.ckpt"))) == 2, err
