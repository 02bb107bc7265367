"""Asks a local model in batches for many questions at once, and counts its work with the question that asked.

What waits while a batch is computed forms the next batch. A batch is computed in a thread, so that replies of live
teachers are received, and new requests sent, meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.tasks.guard import gold_opened
from benchmark.teachers.gathering import Gatherer
from benchmark.teachers.local_model import LocalModel
from benchmark.types import Reply, Request, Usage

QUESTIONS_AT_ONCE = 64
"""The most questions in flight where an annotator asks local models: a kill loses what was done for them."""


@dataclass
class LocalWork:
    """What a local model did for one question."""

    usage: Usage = field(default_factory=Usage)
    """Calls and tokens."""
    counts: Counter[str] = field(default_factory=Counter)
    """What it adds to the model's `counters`."""

    def add(self, other: LocalWork) -> None:
        """Adds more work for the same question."""
        self.usage += other.usage
        self.counts.update(other.counts)


LocalAsk = tuple[Request, int]
"""(request, number of samples)"""
LocalAnswer = tuple[list[Reply], LocalWork]


class LocalDesk:
    """Answers requests to one local model that wait at the same time; belongs to one event loop.

    A reply does not depend on what else waits: text is greedy, or drawn from the request's own random stream.
    """

    def __init__(self, model: LocalModel, turn: asyncio.Lock) -> None:
        """`turn` is shared by all desks of an event loop: one batch is computed at a time."""
        self.model = model
        self._gather: Gatherer[LocalAsk, LocalAnswer] = Gatherer(self._answered, turn)

    async def ask(self, request: Request, samples: int) -> LocalAnswer:
        """`samples` replies to the request, and the work that they were. Books nothing."""
        return await self._gather((request, samples))

    def _answered(self, asks: Sequence[LocalAsk]) -> list[LocalAnswer]:
        found: dict[int, LocalAnswer] = {}
        for samples in sorted({samples for _, samples in asks}):
            places = [i for i, (_, wanted) in enumerate(asks) if wanted == samples]
            requests, copy = [asks[i][0] for i in places], self.model.apart()
            with gold_opened():  # an assistant may be a simulation, which knows the answers
                answers = copy.generate(requests, samples)
            for i, request, replies in zip(places, requests, answers, strict=True):
                found[i] = replies, LocalWork(_usage(replies), _counts(copy, request, samples))
        return [found[i] for i in range(len(asks))]


def _usage(replies: Sequence[Reply]) -> Usage:
    return Usage(
        calls=len(replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
    )


def _counts(copy: LocalModel, request: Request, samples: int) -> Counter[str]:
    """The request's part of what a batch added to the counts of `copy`."""
    if not any(copy.counters.values()):
        return Counter(dict.fromkeys(copy.counters, 0))
    return Counter({name: samples * count for name, count in copy.cut_counts(request).items()})
