"""Waiting times for requests to a live teacher: limits per minute, and the wait before a retry."""

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
    """Sources of time and random numbers, which tests replace."""

    now: Callable[[], float] = time.monotonic
    """Seconds since a fixed but unknown moment; never goes back."""
    date: Callable[[], float] = time.time
    """Seconds since 1970."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for a number of seconds."""
    draw: Callable[[float, float], float] = random.uniform
    """A random number between its two arguments."""


class RateLimit:
    """Spaces requests evenly, in the order of asking: each waits for as long as the limit needs for all before it.

    Nothing is saved up: a token bucket for a whole minute would allow twice the limit within one minute.
    """

    def __init__(self, per_minute: float | None, clock: Clock) -> None:
        self._seconds_each = SECONDS_PER_MINUTE / per_minute if per_minute else 0.0
        self._clock = clock
        self._free_at = clock.now()

    async def take(self, amount: float) -> None:
        """Waits until `amount` (requests or tokens) may be used; calls are served in order."""
        now = self._clock.now()
        turn = max(now, self._free_at)
        self._free_at = turn + amount * self._seconds_each
        if turn > now:
            await self._clock.sleep(turn - now)

    def correct(self, taken: float, used: float) -> None:
        """Replaces an estimate (`taken`) by the amount that was really used; this changes only later waits."""
        self._free_at += (used - taken) * self._seconds_each


def back_off_seconds(retry: int, clock: Clock) -> float:
    """Seconds to wait before a retry, numbered from 0: exponential with full jitter, so that requests spread out."""
    most = min(LONGEST_BACK_OFF_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(retry, 16))
    return clock.draw(0.0, most)


def retry_after_seconds(header: str | None, clock: Clock) -> float | None:
    """Seconds to wait by a `Retry-After` header, which holds seconds or an HTTP date; None if it cannot be read."""
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
