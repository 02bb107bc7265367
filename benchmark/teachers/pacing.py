"""When a live teacher is asked: limits per minute, and how long to wait before a request is sent again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

SECONDS_PER_MINUTE = 60.0
FIRST_WAIT_SECONDS, LONGEST_BACK_OFF_SECONDS = 0.5, 30.0


@dataclass(frozen=True)
class Clock:
    """Time and chance, so that tests can put their own in its place.

    `now` counts seconds from anywhere, `date` those since 1970; `draw` gives a number between its two arguments.
    """

    now: Callable[[], float] = time.monotonic
    date: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[float, float], float] = random.uniform


class RateLimit:
    """A token bucket that holds one request: each waits until those before it are earned back, in the order of asking.

    A bucket for a whole minute would let through two minutes' worth at once: what it held and what flows in.
    """

    def __init__(self, per_minute: float | None, clock: Clock) -> None:
        self._seconds_each = SECONDS_PER_MINUTE / per_minute if per_minute else 0.0
        self._clock = clock
        self._free_at = clock.now()

    async def take(self, amount: float) -> None:
        """Returns when so much may be used. The turn is taken before the wait, so nobody overtakes."""
        now = self._clock.now()
        turn = max(now, self._free_at)
        self._free_at = turn + amount * self._seconds_each
        if turn > now:
            await self._clock.sleep(turn - now)

    def correct(self, taken: float, used: float) -> None:
        """What was really used, where it had to be estimated before; only those who ask later feel it."""
        self._free_at += (used - taken) * self._seconds_each


def back_off_seconds(retry: int, clock: Clock) -> float:
    """How long to wait before a retry, counted from 0: exponential with full jitter, so that waiters spread out."""
    most = min(LONGEST_BACK_OFF_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(retry, 16))
    return clock.draw(0.0, most)


def retry_after_seconds(header: str | None, clock: Clock) -> float | None:
    """Seconds from a `Retry-After` header, which holds seconds or an HTTP date; None where there is no readable one."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - clock.date()
    return max(0.0, seconds) if seconds < float("inf") else None
