"""A line every minute for a phase of work, where no bar can be seen: in log files, on clusters, in sweeps."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

SECONDS_BETWEEN_LINES = 60.0
"""Seconds between two lines about one phase."""
LINES_OF_PACE = 5
"""The pace is that of so many last lines, so that it follows a machine that becomes busy."""


class Heartbeat:
    """Says every `SECONDS_BETWEEN_LINES` where a phase stands: done of total, pace, time left.

    The lines come from a thread of their own, so that one unit of work that takes an hour is not an hour of silence.
    """

    def __init__(
        self, description: str, total: int | None, say: Callable[[str], None], further: Callable[[], str] | None = None
    ) -> None:
        """`total` is None for work that nobody can count; `further` makes a text for the end of a line."""
        self.description = description
        self.total = total
        self.say = say
        self.further = further
        self.done = 0
        self.earlier = 0
        self.started = time.perf_counter()
        self._samples = deque([(self.started, 0)], maxlen=LINES_OF_PACE)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"heartbeat of {description}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def advance(self, units: int, *, earlier: bool = False) -> None:
        """Adds finished units; units of an earlier attempt do not count for the pace."""
        self.done += units
        self.earlier += units if earlier else 0

    @property
    def seconds(self) -> float:
        """Seconds since the phase began."""
        return time.perf_counter() - self.started

    def line(self) -> str:
        """Where the phase stands now."""
        if self.total is None:
            return f"{self.description}: for {duration(self.seconds)}"
        parts = [f"{self.description}: {self.done:,} of {self.total:,}"]
        now, new = time.perf_counter(), self.done - self.earlier
        since, before = self._samples[0]
        self._samples.append((now, new))
        if new == before:
            parts.append(f"nothing new for {duration(now - since)}")
        else:
            seconds_per_unit = (now - since) / (new - before)
            parts.append(_pace(seconds_per_unit))
            parts.append(f"{duration(seconds_per_unit * max(self.total - self.done, 0))} left")
        if self.further is not None:
            parts.append(self.further())
        return ", ".join(parts)

    def _beat(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LINES):
            self.say(self.line())


def _pace(seconds_per_unit: float) -> str:
    """Units per second, or seconds for each unit where that is the number above 1."""
    if seconds_per_unit < 1:
        return f"{1 / seconds_per_unit:,.3g} per s"
    return f"{seconds_per_unit:.3g} s each" if seconds_per_unit < 90 else f"{duration(seconds_per_unit)} each"


def duration(seconds: float) -> str:
    """A time for people: below 90 s in seconds, below an hour in minutes, otherwise in hours and minutes."""
    if seconds < 90:
        return f"{-(-seconds // 1):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min"
