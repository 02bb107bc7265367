"""Answers requests that wait at the same time in one batch: a model reads a batch nearly as fast as one prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

QUIET_TURNS = 8
"""After so many turns of the event loop without a new request, the waiting requests are answered.

Turns, not seconds, so that a batch does not depend on how busy the machine is.
"""


@dataclass
class Gatherer(Generic[Asked, Answer]):
    """Collects requests of coroutines until no new one comes, then answers them all with one call of `answer`."""

    answer: Callable[[Sequence[Asked]], Sequence[Answer]]
    """Returns one answer per request, in order."""
    turn: asyncio.Lock | None = None
    """Held while requests are collected and answered in a thread; None answers in the event loop, which then waits."""
    _waiting: list[tuple[Asked, asyncio.Future[Answer]]] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[None] | None = None

    async def __call__(self, request: Asked) -> Answer:
        """The answer to one request. An error of `answer` is raised for every request of its batch."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # requests of an event loop that has ended are dropped
            self._waiting, self._loop = [], loop
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        if len(self._waiting) == 1:
            self._task = loop.create_task(self._answer_in_turn())
        return await future

    async def _answer_in_turn(self) -> None:
        if self.turn is None:
            await self._answer_when_quiet()
            return
        async with self.turn:
            await self._answer_when_quiet()

    async def _answer_when_quiet(self) -> None:
        quiet, seen = 0, len(self._waiting)
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)
        waiting = [(request, future) for request, future in self._waiting if not future.done()]  # cancelled ones are
        self._waiting = []
        if not waiting:
            return
        asked = [request for request, _ in waiting]
        try:
            answers = self.answer(asked) if self.turn is None else await asyncio.to_thread(self.answer, asked)
        except asyncio.CancelledError:
            for _, future in waiting:
                future.cancel()
            raise
        except BaseException as error:  # a question that heard nothing would wait for ever
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return
        for (_, future), answer in zip(waiting, answers, strict=True):
            if not future.done():
                future.set_result(answer)
