"""One of the processes of a fit: `torchrun -m benchmark.student.fit_worker FOLDER` (see `processes`)."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers.logger import Logger

from benchmark.interruption import Interrupted
from benchmark.student import ranks
from benchmark.student.checkpoint import FollowingJournal
from benchmark.student.fit import FitWork, train
from benchmark.student.processes import RESULT, SAVE, SOCKET, STOP, WEIGHTS, WORK, Failure, Result
from benchmark.student.stream import Validation
from benchmark.types import Json


@dataclass
class Command:
    """The process of the command, as the workers see it: the first one talks to it, the others do not."""

    folder: Path
    """The folder of the processes."""
    connection: Connection | None
    """None for all but the first process."""

    def advance(self, units: int, *, earlier: bool = False) -> None:
        """Shows finished steps."""
        self._say("advance", units, earlier)

    def log(self, numbers: Mapping[str, float], step: int | None) -> None:
        """Logs numbers."""
        self._say("log", dict(numbers), step)

    def save_logs(self) -> None:
        """Has the loggers write what they hold."""
        if self.connection is not None:
            self._say("save")
            self.connection.recv()

    def validate(self, network: torch.nn.Module, step: int) -> Mapping[str, float]:
        """The metrics of the student as it is now, in all processes."""
        found: Mapping[str, float] = {}
        if self.connection is not None:
            torch.save(network.state_dict(), self.folder / WEIGHTS)
            self._say("validate", step)
            found = self.connection.recv()
        return ranks.agreed(found)

    @property
    def save_once(self) -> bool:
        """Whether the fit has to be saved now; False once it is."""
        return (self.folder / SAVE).exists()

    @save_once.setter
    def save_once(self, wanted: bool) -> None:
        if not wanted and self.connection is not None:
            (self.folder / SAVE).unlink(missing_ok=True)

    @property
    def asked(self) -> bool:
        """Whether the command was asked to stop."""
        return (self.folder / STOP).exists()

    def install(self) -> None:
        """Nothing: signals reach the process of the command alone."""

    def _say(self, *words: Any) -> None:
        if self.connection is not None:
            self.connection.send(words)


class SentLogs(Logger):
    """Hands numbers to the loggers of the command."""

    def __init__(self, command: Command) -> None:
        super().__init__()
        self.command = command

    @property
    def name(self) -> str:
        """No name: the command's loggers have theirs."""
        return ""

    @property
    def version(self) -> str:
        """No version."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: the command's loggers have logged them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hands the numbers over."""
        self.command.log(metrics, step)

    def save(self) -> None:
        """Has the command's loggers write what they hold."""
        self.command.save_logs()


def main(folder: Path) -> int:
    """Trains one process's share; 0 if all went well. The reason of a failure stands in a file."""
    number = int(os.environ["RANK"])
    try:
        _train(folder, number)
    except (Exception, Interrupted) as error:
        traceback.print_exc()  # kept while the folder is
        failure = Failure(type(error).__name__, str(error), _waited_in_vain(error))
        (folder / f"failure-{number}").write_bytes(pickle.dumps(failure))
        return 1
    return 0


def _waited_in_vain(error: BaseException) -> bool:
    """Whether the error is that of gloo or NCCL about a process that is gone."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _train(folder: Path, number: int) -> None:
    with (folder / WORK).open("rb") as file:
        work, every_n_steps, logs = pickle.load(file)
    work = work if number == 0 else _following(work)
    _move_frozen(work)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    command = Command(folder, _connected(folder) if number == 0 else None)
    network = work.student.network
    validation = Validation(every_n_steps, lambda step: command.validate(network, step))
    report = train(work, validation, [SentLogs(command)] if logs else [], command.advance, command)
    if number == 0:
        torch.save(network.state_dict(), folder / WEIGHTS)
        tallies: Json = None if work.journal is None else work.journal.counts.tallies()
        policy = work.method.loss.data_policy.state_dict()
        (folder / RESULT).write_bytes(pickle.dumps(Result(report, work.memory.value, policy, tallies)))


def _following(work: FitWork) -> FitWork:
    return work if work.journal is None else replace(work, journal=FollowingJournal(**vars(work.journal)))


def _move_frozen(work: FitWork) -> None:
    """Moves the models that the loss reads to the process's own GPU, where it has one; Lightning moves the student."""
    if work.settings.accelerator != "cpu" and torch.cuda.is_available():
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
        for each in work.frozen.values():
            each.model.network.to(own)  # type: ignore[arg-type]  # its decorator hides the signature


def _connected(folder: Path) -> Connection:
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(folder / SOCKET))
    return Connection(end.detach())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
