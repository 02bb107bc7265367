"""Ctrl-C and SIGTERM: both stop the process, and a running fit is saved at the end of its step before.

SIGTERM is what clusters send some seconds before they take a machine away. Outside a fit it does what Ctrl-C does.

A job of submitit handles signals itself: SIGUSR2, which comes before its time is over, queues it again, and SIGTERM
does nothing, since Slurm kills the job and queues it again by itself. A running fit is saved in both cases.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REQUEUE_SIGNALS = tuple(signal.Signals[name] for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
"""The signals on which the launcher of a cluster may end a job and queue it again."""
SECONDS_OF_ONE_REQUEST = 1.0
"""Signals so close together are one request: clusters send SIGTERM to a process and to the parent that hands it on."""
_received: list[signal.Signals] = []
"""The signals that this process was sent, in order."""
_postponed: list[Callable[[], object]] = []
"""What the launcher of a cluster wanted to do at a signal, until the work is saved."""


class Interrupted(BaseException):
    """The process was asked to stop and has come to a good place; the message says to which one.

    No KeyboardInterrupt, on which Lightning ends the process by itself.
    """


def exit_status() -> int:
    """The exit status of an interrupted process: 128 and the number of the first signal."""
    return 128 + int(_received[0] if _received else signal.SIGINT)


def was_asked_to_stop() -> bool:
    """Whether this process was sent Ctrl-C or SIGTERM since `forget_signals`."""
    return bool(_received)


def forget_signals() -> None:
    """Begins anew, for a process that runs one command after another."""
    _received.clear()
    _postponed.clear()


def end_as_launcher_wants() -> None:
    """Does what the launcher wanted to do at the signal that stopped this process, such as to queue its job again.

    That may end the process. Returns where no launcher wanted anything.
    """
    while _postponed:
        _postponed.pop()()


@contextmanager
def handlers_restored() -> Iterator[Mapping[signal.Signals, Any]]:
    """Yields the handlers of all our signals, and sets them again after the block, whatever the block has set.

    Yields none outside the main thread, which alone may set handlers.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    watched = (*SIGNALS, *REQUEUE_SIGNALS) if in_main_thread else ()
    before = {number: signal.getsignal(number) for number in watched}
    try:
        yield before
    finally:
        _set(before)


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside the block, SIGTERM does what Ctrl-C does at that moment: both raise KeyboardInterrupt.

    Does nothing outside the main thread; leaves SIGTERM alone where somebody else handles it already.
    """
    with handlers_restored() as before:
        if before.get(signal.SIGINT) is _hand_on:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the one that asyncio replaces by its own
        if before.get(signal.SIGTERM) in (_hand_on, signal.SIG_DFL):
            signal.signal(signal.SIGTERM, _interrupt)
        yield


@contextmanager
def workers_stop_first() -> Iterator[None]:
    """Inside the block, a signal is handed to worker processes, which save what they do; a second one raises.

    Without worker processes it raises KeyboardInterrupt, as in `stoppable`.
    """
    with handlers_restored() as before:
        _take(before, _hand_on)
        yield


def note_interruption() -> None:
    """Makes `was_asked_to_stop` true, for a worker that a KeyboardInterrupt reached."""
    _received.append(_received[0] if _received else signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(signal.Signals(number))
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(on_ctrl_c):
        raise KeyboardInterrupt
    on_ctrl_c(number, frame)  # asyncio's own handler lets a purchase end well


def _hand_on(number: int, frame: FrameType | None) -> None:
    first = not _received
    _received.append(signal.Signals(number))
    workers = multiprocessing.active_children()
    if not first or not workers:
        raise KeyboardInterrupt
    if number == signal.SIGTERM:  # a terminal sends Ctrl-C to the workers itself
        for worker in workers:
            worker.terminate()
    sys.stderr.write(f"stopping {len(workers)} worker processes; once more stops at once\n")


class HeldBack:
    """The signals that came in a block of `held_back`."""

    def __init__(self, before: Mapping[signal.Signals, Any]) -> None:
        self._before = before
        self._first = math.inf
        self.save_once = False
        """Whether the work has to be saved now, and goes on; set to False by who has saved it."""

    @property
    def asked(self) -> bool:
        """Whether the process was asked to stop."""
        return self._first < math.inf

    def install(self) -> None:
        """Handles the signals from now on, also where a library has taken them over; ignored ones stay ignored."""
        _take(self._before, self._receive)
        if _is_of_launcher(self._before.get(signal.SIGTERM)):
            signal.signal(signal.SIGTERM, self._save)
        requeues = {number: self._before.get(number) for number in REQUEUE_SIGNALS}
        _set({number: self._postpone for number, known in requeues.items() if _is_of_launcher(known)})

    def _receive(self, number: int, frame: FrameType | None) -> None:
        _received.append(signal.Signals(number))
        if not self.asked:
            self._first = time.monotonic()
            sys.stderr.write("stopping after this step; once more stops at once\n")
        elif time.monotonic() - self._first > SECONDS_OF_ONE_REQUEST:
            raise Interrupted("stopped at once: the steps since the last checkpoint are lost")

    def _postpone(self, number: int, frame: FrameType | None) -> None:
        if not _postponed:
            handler = self._before[signal.Signals(number)]
            _postponed.append(partial(handler, number, None))
        self._receive(number, frame)

    def _save(self, number: int, frame: FrameType | None) -> None:
        self.save_once = True
        sys.stderr.write("saving after this step\n")


def _is_of_launcher(handler: object) -> bool:
    """Whether a library set it that runs this process as a job."""
    return callable(handler) and handler not in (_interrupt, _hand_on, signal.default_int_handler)


@contextmanager
def held_back() -> Iterator[HeldBack]:
    """Inside the block, the first Ctrl-C or SIGTERM only sets `asked`; a later one raises Interrupted.

    In a job of submitit SIGTERM sets `save_once` alone. Its signal to queue the job again sets `asked`, and is done by
    `end_as_launcher_wants`.
    """
    with handlers_restored() as before:
        signals = HeldBack(before)
        signals.install()
        yield signals


def _take(before: Mapping[signal.Signals, Any], handler: Callable[[int, FrameType | None], None]) -> None:
    """Gives the handler Ctrl-C and SIGTERM, unless they were ignored before."""
    _set({number: handler for number in SIGNALS if before.get(number, signal.SIG_IGN) is not signal.SIG_IGN})


def _set(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
