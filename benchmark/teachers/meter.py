"""The metered way to the models: what a question asks is got at once, and booked when it is that question's turn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.contract import ASSISTANT, STUDENT, Annotator, TextModel
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.stored_teacher import Delivery, StoredTeacher
from benchmark.teachers.teacher import OpenTeacher, Price
from benchmark.types import Ask, PlannedRequest, Reply, Usage

TEACHER = "teacher"
"""The source of the ledger that all teachers share."""
ROUNDING = 1e-12
"""Dollars are sums of floats. So much larger, a worst case bounds them in whatever order they are added."""
Request = tuple[str, Ask]
"""Who is asked, and what."""


@dataclass(frozen=True)
class Supplier:
    """A teacher that is ready to answer, what its replies cost, and how many requests it can be at work on.

    Only what a `StoredTeacher` buys is really paid for; any other teacher's replies cost nothing to get.
    """

    teacher: OpenTeacher
    price: Price
    concurrency: int = 1

    async def deliver(self, ask: Ask, samples: int, known: int) -> list[Delivery]:
        """The replies behind the first `known`, up to `samples` in all."""
        if isinstance(self.teacher, StoredTeacher):
            return await self.teacher.deliver(ask, samples - known, known)
        return [Delivery(reply) for reply in (await self.teacher.reply(ask, samples))[known:]]

    def must_spend(self, delivery: Delivery) -> bool:
        """Whether the ledger must still book that this cell paid for a reply."""
        return isinstance(self.teacher, StoredTeacher) and self.teacher.book(delivery)


@dataclass(frozen=True)
class Answered:
    """A request to a teacher with all the replies to it so far."""

    who: str
    ask: Ask
    replies: tuple[Reply, ...]


@dataclass
class Meter:
    """The replies and the books of one cell. A request to a teacher that the cell repeats is not charged again.

    `local` are the models that cost nothing here, student and assistant; `roles` those that the method declared for its
    teachers, None for all. `longest_local_reply` is the cap of the local models, in tokens.
    """

    suppliers: Mapping[str, Supplier]
    ledger: Ledger
    roles: frozenset[str] | None = None
    local: Mapping[str, TextModel] = field(default_factory=dict)
    longest_local_reply: int = 0
    _got: dict[Request, list[Delivery]] = field(default_factory=dict)
    _charged: dict[Request, int] = field(default_factory=dict)
    _locks: dict[Request, asyncio.Lock] = field(default_factory=dict)

    def begin(self) -> None:
        """To be called in every new event loop: a lock belongs to one."""
        self._locks.clear()

    async def get(self, who: str, ask: Ask, samples: int) -> None:
        """Sees to it that the cell has that many replies of a teacher. Books nothing."""
        if who in (STUDENT, ASSISTANT):
            raise ValueError(f"a part asked the {who} without declaring it in requires()")
        if self.roles is not None and ask.role not in self.roles:
            raise ValueError(f"a part asked the teacher in the role {ask.role!r} without declaring it in requires()")
        supplier, request = self._supplier(who), (who, ask)
        async with self._locks.setdefault(request, asyncio.Lock()):
            known = self._got.get(request, [])
            if len(known) < samples:
                self._got[request] = [*known, *await supplier.deliver(ask, samples, len(known))]

    def got(self, request: Request, samples: int) -> list[Reply]:
        """The first replies to a request."""
        return [delivery.reply for delivery in self._got[request][:samples]]

    def _supplier(self, who: str) -> Supplier:
        if who not in self.suppliers:
            known = ", ".join((*self.suppliers, *self.local))
            raise ValueError(f"a part asked {who!r}, who is nobody here; there are {known}")
        return self.suppliers[who]

    # --- what it costs ------------------------------------------------------------------------------------------------

    def most(self, planned: Sequence[PlannedRequest], counts_tokens: bool) -> Usage:
        """The most that planned requests cost: calls, and tokens and dollars where they count."""
        if not counts_tokens:
            return Usage(calls=sum(request.samples for request in planned))
        return worst_case(planned, self.suppliers, self.longest_local_reply)

    def cost(self, asked: Mapping[Request, int]) -> Usage:
        """What requests with so many replies cost, had nothing been asked before."""
        return sum((self._price(request, 0, samples) for request, samples in _in_order(asked)), start=Usage())

    def commit(self, asked: Mapping[Request, int]) -> list[Answered]:
        """Books what one question asked, without what the cell has been charged before; gives back what is new."""
        charged, spent, new = Usage(), Usage(), []
        for request, samples in _in_order(asked):
            before = self._charged.get(request, 0)
            if samples <= before:
                continue
            charged += self._price(request, before, samples)
            spent += self._paid(request, before, samples)
            self._charged[request] = samples
            new.append(Answered(*request, tuple(self.got(request, samples))))
        if charged != Usage():
            self.ledger.charge(TEACHER, charged)
        if spent != Usage():
            self.ledger.spend(TEACHER, spent)
        return new

    def _price(self, request: Request, before: int, samples: int) -> Usage:
        price = self.suppliers[request[0]].price
        return sum((price.of(each.reply) for each in self._got[request][before:samples]), start=Usage())

    def _paid(self, request: Request, before: int, samples: int) -> Usage:
        supplier = self.suppliers[request[0]]
        paid = [each.reply for each in self._got[request][before:samples] if supplier.must_spend(each)]
        return sum((supplier.price.with_waste(reply) for reply in paid), start=Usage())

    @property
    def is_estimated(self) -> bool:
        """Whether tokens of any charged reply follow a rule of thumb."""
        charged = (self.got(request, samples) for request, samples in self._charged.items())
        return any(reply.tokens_are_estimated for replies in charged for reply in replies)

    @property
    def asked(self) -> frozenset[str]:
        """The teachers that have answered in this cell, in an earlier attempt too."""
        return frozenset(who for who, _ in self._charged)

    def remember(self, answered: Sequence[Answered]) -> None:
        """Requests that were paid for before, so that they are not charged again."""
        for row in answered:
            self._got[row.who, row.ask] = [Delivery(reply) for reply in row.replies]
            self._charged[row.who, row.ask] = len(row.replies)
            teacher = self.suppliers[row.who].teacher
            if isinstance(teacher, StoredTeacher):
                teacher.has_booked(row.ask, row.replies)


@dataclass
class QuestionMeter:
    """What an annotator asks through for one question. `asked` are its requests with the replies that it took."""

    meter: Meter
    asked: dict[Request, int] = field(default_factory=dict)

    async def __call__(self, who: str, ask: Ask, samples: int = 1) -> list[Reply]:
        """`samples` replies by one of the suppliers or local models."""
        if who in self.meter.local:
            return self.meter.local[who].generate([ask], samples)[0]
        await self.meter.get(who, ask, samples)
        self.asked[who, ask] = max(samples, self.asked.get((who, ask), 0))
        return self.meter.got((who, ask), samples)

    @property
    def cost(self) -> Usage:
        """What the question has cost so far, had nothing been asked before it."""
        return self.meter.cost(self.asked)


def local_models(annotator: Annotator) -> frozenset[str]:
    """Whom of student and assistant an annotator says that it asks."""
    needs = annotator.requires()
    return frozenset(name for name, asked in ((STUDENT, needs.student_roles), (ASSISTANT, needs.assistant)) if asked)


def worst_case(planned: Sequence[PlannedRequest], suppliers: Mapping[str, Supplier], longest_local_reply: int) -> Usage:
    """The most that planned requests can cost. Raises ValueError for a request to nobody known.

    A reply that stands in a later prompt has the cap of its request, or else that of the planned teacher; one that no
    teacher is planned to give is a local model's.
    """
    writers = {request.ask: request.who for request in planned}

    def longest(ask: Ask) -> int:
        if ask.max_new_tokens is not None:
            return ask.max_new_tokens
        if ask not in writers:
            return longest_local_reply
        return suppliers[writers[ask]].teacher.most(PlannedRequest(writers[ask], ask)).completion_tokens

    total = Usage()
    for request in planned:
        if request.who not in suppliers:
            raise ValueError(f"a part plans to ask {request.who!r}, who is no teacher here")
        supplier = suppliers[request.who]
        total += supplier.price.priced(supplier.teacher.most(request, sum(map(longest, request.holds))))
    return replace(total, usd=total.usd * (1 + ROUNDING))


def _in_order(asked: Mapping[Request, int]) -> list[tuple[Request, int]]:
    """The requests in an order that does not tell which was answered first."""
    return sorted(asked.items(), key=lambda item: repr(item[0]))
