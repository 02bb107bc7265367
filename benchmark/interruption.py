"""Ctrl-C and SIGTERM: both stop the process, and a running fit is saved at the end of its step before.

SIGTERM is what clusters send some seconds before they take a machine away. Outside a fit it does what Ctrl-C does.
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
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_OF_ONE_REQUEST = 1.0
"""Signals so close together are one request: clusters send SIGTERM to a process and to the parent that hands it on."""
_received: list[signal.Signals] = []
"""The signals that this process was sent, in order."""


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


@contextmanager
def handlers_restored() -> Iterator[Mapping[signal.Signals, Any]]:
    """Yields the handlers of both signals, and sets them again after the block, whatever the block has set.

    Yields none outside the main thread, which alone may set handlers.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if in_main_thread else {}
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

    @property
    def asked(self) -> bool:
        """Whether the process was asked to stop."""
        return self._first < math.inf

    def install(self) -> None:
        """Handles the signals from now on, also where a library has taken them over; ignored ones stay ignored."""
        _take(self._before, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        _received.append(signal.Signals(number))
        if not self.asked:
            self._first = time.monotonic()
            sys.stderr.write("stopping after this step; once more stops at once\n")
        elif time.monotonic() - self._first > SECONDS_OF_ONE_REQUEST:
            raise Interrupted("stopped at once: the steps since the last checkpoint are lost")


@contextmanager
def held_back() -> Iterator[HeldBack]:
    """Inside the block, the first Ctrl-C or SIGTERM only sets `asked`; a later one raises Interrupted."""
    with handlers_restored() as before:
        signals = HeldBack(before)
        signals.install()
        yield signals


def _take(before: Mapping[signal.Signals, Any], handler: Callable[[int, FrameType | None], None]) -> None:
    """Gives the handler the signals that were not ignored before."""
    _set({number: handler for number, known in before.items() if known is not signal.SIG_IGN})


def _set(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
