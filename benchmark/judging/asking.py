"""Asks the judge: many requests at once, and once more where a reply holds no verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.buying.meter import Meter, QuestionMeter
from benchmark.console.progress import Display
from benchmark.evaluation.reference import ask_each
from benchmark.judging.comparisons import Comparison
from benchmark.judging.verdicts import Cell, Preference, Verdict, preferred, read_verdict
from benchmark.tasks.dataset import Dataset
from benchmark.types import Reply, Request


@dataclass(frozen=True)
class Judgement:
    """A judge's verdict on one question, construct and order: a row of the results."""

    example_id: str
    """The id of the test question."""
    construct: str
    """The construct that was asked about."""
    shown_as_a: Cell
    """The cell whose explanation stood in place A."""
    prompt: str | None
    """What the judge read last; None if both said the same, so that nothing was asked."""
    reply: str | None
    """What the judge wrote to it, without its trace; None if nothing was asked."""
    unread_reply: str | None
    """An earlier reply without a verdict, after which the judge was asked once more; None if there is none."""
    verdict: Verdict | None
    """The better explanation by its place, or a tie; None if no reply holds a verdict."""
    preferred: Preference | None
    """The better explanation by its cell, or a tie; None likewise."""


@dataclass(frozen=True)
class Desk:
    """Where the judge is asked, and where its cost is booked."""

    judge: str
    """The teacher's name in `meter`."""
    meter: Meter
    """Asks, and keeps the ledger."""

    display: Display
    """Shows the progress."""

    def replies(self, what: str, requests: Sequence[Request]) -> list[Reply]:
        """One reply to each request, in order, beside a bar that says `what` is done.

        Raises the first error of the teacher once the requests in flight have ended.
        """
        if not requests:
            return []
        with self.display.bar(what, len(requests)) as advance:
            return self._replies(requests, advance)

    def _replies(self, requests: Sequence[Request], advance: Callable[[int], None]) -> list[Reply]:
        async def reply(request: Request) -> list[Reply]:
            question = QuestionMeter(self.meter)
            replies = await question(self.judge, request)
            self.meter.commit(question.asked)
            advance(1)
            return replies

        self.meter.begin()
        return asyncio.run(ask_each(requests, reply, self.meter.suppliers[self.judge].concurrency))


def judge_all(wanted: Sequence[Comparison], dataset: Dataset, desk: Desk) -> list[Judgement]:
    """One judgement per comparison, in order. Identical explanations are ties, and the judge is not asked."""
    asked = [each for each in wanted if not each.shared.is_identical]
    requests = [each.request(dataset) for each in asked]
    replies = desk.replies("judging explanations", requests)
    found = dict(zip(asked, map(_judgement, asked, requests, replies), strict=True))
    unread = [each for each in asked if found[each].verdict is None]
    requests = [each.request(dataset, again=True) for each in unread]
    replies = desk.replies("asking once more", requests)
    for each, request, reply in zip(unread, requests, replies, strict=True):
        found[each] = _judgement(each, request, reply, found[each].reply)
    return [found[each] if each in found else _identical(each) for each in wanted]


def _judgement(asked: Comparison, request: Request, reply: Reply, before: str | None = None) -> Judgement:
    verdict = read_verdict(reply.text)
    place = asked.shared.question.id, asked.construct, asked.shown_as_a
    return Judgement(*place, request.prompt, reply.text, before, verdict, preferred(verdict, asked.shown_as_a))


def _identical(asked: Comparison) -> Judgement:
    place = asked.shared.question.id, asked.construct, asked.shown_as_a
    return Judgement(*place, None, None, None, "tie", "tie")
