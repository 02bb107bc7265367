"""A fit over several processes that torchrun starts: one per GPU, or per share of the threads.

The command stays in its own process: it alone shows progress, logs and validates, and gets the weights back. The
processes sit in a folder of their own, which only this user may read, and which is deleted with them.
"""

from __future__ import annotations

import os
import pickle
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.strategies import DDPStrategy

from benchmark.console.progress import Advance
from benchmark.interruption import HeldBack, Interrupted, held_back
from benchmark.student.stream import Validation

if TYPE_CHECKING:
    from benchmark.student.fit import FitReport, FitWork

WORK, RESULT, SAVE, STOP = "work", "result", "save", "stop"
SOCKET, PRINTED, WEIGHTS = "socket", "stderr", "weights"
"""The files of the processes' folder."""
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_END = 45.0
"""torchrun gives its workers 30 seconds before it kills them."""
LINES_SHOWN = 5
"""How much of what a dead process printed stands in the error."""


class OwnSums(DDPStrategy):
    """Lightning's processes and devices, without its wrapper of the network.

    Gradients are added up once per step (`ranks.sum_gradients`), since a step's loss is one mean over all its
    micro-batches; the wrapper would average after each of them.
    """

    def configure_ddp(self) -> None:
        """Leaves the network as it is."""


@dataclass(frozen=True)
class Result:
    """What the first process hands back beside the weights."""

    report: FitReport
    """The finished fit."""
    memory: Any
    """What the loss remembers."""
    policy: Any
    """The state of the data policy."""
    tallies: Any
    """The counts of the journal; None without one."""


@dataclass(frozen=True)
class Failure:
    """Why a process ended before its work was done."""

    kind: str
    """The name of the exception's class."""
    message: str
    """What it says."""
    waited_in_vain: bool
    """Whether it waited for another process that had died, which is the reason then."""


RAISED_AGAIN = {each.__name__: each for each in (ValueError, FloatingPointError, Interrupted, MemoryError)}


def fit_in_processes(work: FitWork, validation: Validation, loggers: Sequence[Any], advance: Advance) -> FitReport:
    """Trains in `work.settings.devices` processes; the student has the trained weights afterwards.

    Raises as `fit` does, and RuntimeError if a process died.
    """
    with TemporaryDirectory(prefix="fit-") as scratch, _off_the_device(work):
        folder = Path(scratch)
        _write_work(folder, work, validation, bool(loggers))
        with held_back() as signals, socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / SOCKET))
            listening.listen(1)
            with _started(folder, work) as processes:
                talk = _Talk(folder, work, validation, loggers, advance, signals)
                talk.until_ended(listening, processes)
        result = _result_of(folder, work.settings.devices)
        state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
        work.student.network.load_state_dict(state)
    work.memory.value = result.memory
    work.method.loss.data_policy.load_state_dict(result.policy)
    if work.journal is not None:
        work.journal.counts.restore(result.tallies)
    return result.report


@contextmanager
def _off_the_device(work: FitWork) -> Iterator[None]:
    """Moves the models to the memory of the processor, so that a GPU has room for the processes' copies."""
    models = [work.student.network, *(each.model.network for each in work.frozen.values())]
    places = [model.device for model in models]
    for model in models:
        model.to("cpu")  # type: ignore[arg-type]  # its decorator hides the signature
    try:
        yield
    finally:
        for model, place in zip(models, places, strict=True):
            model.to(place)  # type: ignore[arg-type]


def _write_work(folder: Path, work: FitWork, validation: Validation, logs: bool) -> None:
    """Everything in one pickle, so that what is one object here is one object there."""
    with (folder / WORK).open("wb") as file:
        pickle.dump((work, validation.every_n_steps, logs), file, protocol=pickle.HIGHEST_PROTOCOL)


@contextmanager
def _started(folder: Path, work: FitWork) -> Iterator[subprocess.Popen[bytes]]:
    """Torchrun with the workers, in a session of its own, so that Ctrl-C reaches this process alone."""
    count = work.settings.devices
    threads = max(1, torch.get_num_threads() // count)
    kept = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_GROUP}
    environment = {**kept, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    with (folder / PRINTED).open("wb") as printed:
        process = subprocess.Popen(
            [*run, "-m", "benchmark.student.fit_worker", str(folder)],
            stdout=printed,
            stderr=printed,
            env=environment,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


OF_ANOTHER_GROUP = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher that is itself a group of processes may have set."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Waits for the end, and makes one if the processes are still there."""
    process.terminate()  # torchrun ends its workers first, which have sessions of their own
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class _Talk:
    """What the first process asks of the command's process while they train."""

    folder: Path
    """The processes' folder."""
    work: FitWork
    """What they train."""
    validation: Validation
    """Measures the student here."""
    loggers: Sequence[Any]
    """Where numbers go."""
    advance: Advance
    """Shows the steps."""
    signals: HeldBack
    """Says whether to stop."""

    def until_ended(self, listening: socket.socket, processes: subprocess.Popen[bytes]) -> None:
        """Answers until the processes have ended; asks them to stop where this process was asked to."""
        connection: Connection | None = None
        while processes.poll() is None:
            if self.signals.asked:
                (self.folder / STOP).touch()
            if self.signals.save_once:
                self.signals.save_once = False
                (self.folder / SAVE).touch()
            waiting = listening if connection is None else connection
            readable, _, _ = select.select([waiting], [], [], SECONDS_BETWEEN_LOOKS)
            if not readable:
                continue
            if connection is None:
                connection = Connection(listening.accept()[0].detach())
                continue
            try:
                self._answer(connection, *connection.recv())
            except EOFError:
                processes.wait()

    def _answer(self, connection: Connection, what: str, *values: Any) -> None:
        if what == "advance":
            self.advance(values[0], earlier=values[1])
        elif what == "log":
            for logger in self.loggers:
                logger.log_metrics(values[0], step=values[1])
        elif what == "save":
            for logger in self.loggers:
                logger.save()
            connection.send(None)
        elif what == "validate":
            state = torch.load(self.folder / WEIGHTS, map_location="cpu", weights_only=True)
            self.work.student.network.load_state_dict(state)
            connection.send(dict(self.validation.measure(values[0])))


def _result_of(folder: Path, count: int) -> Result:
    """What the first process handed back. Raises what the process that failed first raised."""
    failed = sorted(folder.glob("failure-*"), key=lambda path: path.stat().st_mtime_ns)
    failures: list[Failure] = [pickle.loads(path.read_bytes()) for path in failed]
    for failure in failures:
        if not failure.waited_in_vain:
            raise RAISED_AGAIN.get(failure.kind, RuntimeError)(failure.message)
    if not (folder / RESULT).exists():
        printed = (folder / PRINTED).read_text("utf-8", "replace").strip().splitlines()
        last = " | ".join(line.strip() for line in printed[-LINES_SHOWN:]) or "none"
        raise RuntimeError(
            f"one of the {count} processes that trained together died, perhaps for want of memory; their last lines: "
            f"{last}"
        )
    result: Result = pickle.loads((folder / RESULT).read_bytes())
    return result
