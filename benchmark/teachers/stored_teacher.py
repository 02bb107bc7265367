"""A teacher with the teacher store: stored replies are replayed, and one process alone buys each missing reply."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmark.teachers.replies import thought_apart, until_stop
from benchmark.teachers.store import Attempt, TeacherStore
from benchmark.teachers.store_key import key_of, stored_request
from benchmark.teachers.stored_reply import StoredReply, now
from benchmark.teachers.teacher import OpenTeacher, Unanswered
from benchmark.types import Finish, Json, PlannedRequest, Reply, Request, Usage

FAILED: Finish = "failed"
"""`finish` of a placeholder for a reply that never came; its wasted tokens are what the request was charged."""
EMPTY = "empty"
"""Outcome of a call whose reply ended by itself without a text."""
SHORTEST_WAIT, LONGEST_WAIT = 0.01, 1.0
"""Seconds between two looks at a request that another process is buying."""


@dataclass(frozen=True)
class Delivery:
    """A reply and this cell's payment for it.

    Two requests with the same text may share one payment. A payment may date from an earlier attempt at the cell.
    """

    reply: Reply
    payment: str | None = None
    """Id of the payment; None if this cell paid nothing for the reply."""


@dataclass(frozen=True)
class StoredTeacher:
    """Asks `teacher` only for replies that the store does not hold, and keeps each reply as soon as it has come."""

    teacher: OpenTeacher
    identity: Json
    """What `teacher_identity` returns; part of every key in the store."""
    name: str
    """The teacher's name in the store's rows, for people."""
    store: TeacherStore
    buyer: str
    """The cell's mark on everything that it buys, so that a resumed cell finds its earlier payments."""
    samples_share_a_request: bool = False
    """Whether all samples go into one request, whose prompt is paid once; otherwise one request per sample."""
    booked: set[str] = field(default_factory=set)
    """Ids of the payments that the cell's ledger holds already."""

    def covers(self, question_id: str) -> bool:
        """Whether the teacher itself covers the question."""
        return self.teacher.covers(question_id)

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """The most calls and tokens of the request if the store were empty."""
        return self.teacher.most(request, held_tokens)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """The replies of `deliver` without their payments: nothing is booked in the cell's ledger."""
        return [delivery.reply for delivery in await self.deliver(request, samples, first)]

    async def deliver(self, request: Request, samples: int, first: int = 0) -> list[Delivery]:
        """Returns `samples` replies, numbered from `first` on, with this cell's payments.

        Waits while another process buys one of them. A reply that is not final (`is_final`) is returned, but never
        replayed. Raises the teacher's errors; replies that came before the error are kept.
        """
        requests = {sample: stored_request(self.identity, request, sample) for sample in range(first, first + samples)}
        keys = {sample: key_of(stored) for sample, stored in requests.items()}
        delivered: dict[int, Delivery] = {}
        wait = SHORTEST_WAIT
        while True:
            delivered |= self._from_store(request, {n: key for n, key in keys.items() if n not in delivered})
            missing = {n: key for n, key in keys.items() if n not in delivered}
            if not missing:
                return [delivered[sample] for sample in keys]
            claimed = self.store.claim(list(missing.values()))
            mine = {n: key for n, key in missing.items() if key in claimed}
            if mine:
                delivered |= await self._buy(request, {n: (key, requests[n]) for n, key in mine.items()})
                wait = SHORTEST_WAIT
            else:
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def book(self, delivery: Delivery) -> bool:
        """Returns True if the ledger does not hold this payment, and marks it as booked: the caller must book it."""
        if delivery.payment is None or delivery.payment in self.booked:
            return False
        self.booked.add(delivery.payment)
        return True

    def unbooked(self) -> dict[str, Reply]:
        """Payments of this cell, in all its attempts, for replies that no question used: payment id -> reply.

        Marks them as booked: the caller must book them.
        """
        paid = self.store.payments(self.buyer, self.name)
        new = {payment: reply for payment, reply in paid.items() if payment not in self.booked}
        self.booked.update(new)
        return new

    def _from_store(self, request: Request, keys: dict[int, str]) -> dict[int, Delivery]:
        found = self.store.lookup(keys.values())
        for key in [key for key, stored in found.items() if not is_final(request, stored.reply)]:
            self.store.discard(key, found.pop(key), EMPTY)  # an earlier version took it for final
        return {
            sample: Delivery(found[key].reply, key if found[key].buyer == self.buyer else None)
            for sample, key in keys.items()
            if key in found
        }

    async def _buy(self, request: Request, claimed: dict[int, tuple[str, Json]]) -> dict[int, Delivery]:
        """Raises the first error only after all requests have ended, since their replies are paid for and kept."""
        bought: dict[int, Delivery] = {}

        async def buy_run(run: list[int]) -> None:
            try:
                replies = await self.teacher.reply(request, len(run), run[0])
            except Exception as error:
                self._log_failure(error, [claimed[number][0] for number in run])
                raise
            bought.update(self._keep(request, dict(zip(run, replies, strict=True)), claimed))

        numbers = sorted(claimed)
        runs = _runs(numbers) if self.samples_share_a_request else [[number] for number in numbers]
        try:
            results = await asyncio.gather(*map(buy_run, runs), return_exceptions=True)
            for error in filter(None, results):
                raise error
        except BaseException:
            self.store.release([key for n, (key, _) in claimed.items() if n not in bought])
            raise
        return bought

    def _log_failure(self, error: Exception, keys: Sequence[str]) -> None:
        """Leaves the error's message out: a server's words may hold a secret."""
        outcome, charged = f"{FAILED}: {type(error).__name__}", error.__cause__
        attempts = {key: Attempt(outcome, self.name) for key in keys}
        if isinstance(charged, Unanswered):
            prompt, completion = charged.prompt_tokens, charged.completion_tokens
            reply = Reply("", FAILED, wasted_prompt_tokens=prompt, wasted_completion_tokens=completion)
            attempts[keys[0]] = Attempt(outcome, self.name, reply, self.buyer, uuid.uuid4().hex)
        self.store.log(attempts)

    def _keep(
        self, request: Request, replies: dict[int, Reply], claimed: dict[int, tuple[str, Json]]
    ) -> dict[int, Delivery]:
        final: dict[str, StoredReply] = {}
        other: dict[str, Attempt] = {}
        delivered = {number: Delivery(reply, uuid.uuid4().hex) for number, reply in replies.items()}
        for number, reply in replies.items():
            key, stored = claimed[number]
            if is_final(request, reply):
                final[key] = StoredReply(stored, reply, self.name, now(), self.buyer)
            else:
                outcome = EMPTY if reply.finish == "stop" else reply.finish
                other[key] = Attempt(outcome, self.name, reply, self.buyer, str(delivered[number].payment))
        standing = self.store.put(final) if final else {}
        if other:
            self.store.log(other)
        for n, (key, _) in claimed.items():
            if key in standing:
                delivered[n] = Delivery(standing[key].reply, key)
        return delivered


def is_final(request: Request, reply: Reply) -> bool:
    """Whether a reply may be replayed: it has a text, and ended by itself or at a cap of the method's recipe."""
    apart = thought_apart(reply, "strip")
    finish = until_stop(apart, request).finish
    ended = finish == "stop" or (finish == "length" and request.cap_is_final)
    return ended and (bool(apart.text.strip()) or reply.continuation_log_probabilities is not None)


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Splits sorted numbers into runs without gaps: one request asks for consecutive sample numbers only."""
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run
