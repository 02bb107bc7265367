"""The metered way to the models: what a question asks is got at once, and booked when it is that question's turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.contract import ASSISTANT, STUDENT, Annotator, TextModel
from benchmark.errors import TeacherError
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.stored_teacher import FAILED, Delivery, StoredTeacher
from benchmark.teachers.teacher import OpenTeacher, Price
from benchmark.types import PlannedRequest, Reply, Request, Usage

TEACHER = "teacher"
"""The source of the ledger that all teachers share."""
ROUNDING = 1e-12
"""Dollars are sums of floats. So much larger, a worst case bounds them in whatever order they are added."""
AddressedRequest = tuple[str, Request]
"""Who is asked, and what."""
Asked = Mapping[AddressedRequest, Sequence[int]]
"""Of every request how many replies were taken, time after time: growing numbers."""


@dataclass(frozen=True)
class Supplier:
    """A teacher that is ready to answer one cell."""

    teacher: OpenTeacher
    """Answers requests."""
    price: Price
    """What its tokens cost."""
    concurrency: int = 1
    """The number of questions that it is asked about at once."""
    stored: StoredTeacher | None = None
    """The same teacher behind the store, which knows what was paid; None where its replies cost nothing to get."""

    @classmethod
    def behind_store(cls, teacher: StoredTeacher, price: Price, concurrency: int = 1) -> Supplier:
        """A supplier whose replies are paid for and kept."""
        return cls(teacher, price, concurrency, teacher)

    async def deliver(self, ask: Request, samples: int, known: int) -> list[Delivery]:
        """The replies behind the first `known`, up to `samples` in all."""
        if self.stored is not None:
            return await self.stored.deliver(ask, samples - known, known)
        return [Delivery(reply) for reply in (await self.teacher.reply(ask, samples))[known:]]

    def charge(self, replies: Sequence[Reply]) -> Usage:
        """What replies that were asked for at once cost whoever asks alone."""
        first, *others = map(self.price.of, replies)
        if self.stored is not None and self.stored.samples_share_a_request:
            others = [self.price.priced(replace(each, prompt_tokens=0)) for each in others]
        return sum(others, start=first)

    def must_spend(self, delivery: Delivery) -> bool:
        """Whether the ledger must still book that this cell paid for a reply."""
        return self.stored is not None and self.stored.book(delivery)

    def unbooked(self) -> dict[str, Usage]:
        """What this cell paid for what no question took, by payment; it is taken to be booked at once."""
        if self.stored is None:
            return {}
        paid = {payment: (reply, self.price.with_waste(reply)) for payment, reply in self.stored.unbooked().items()}
        return {
            mark: replace(cost, calls=0) if reply.finish == FAILED else cost for mark, (reply, cost) in paid.items()
        }

    def has_booked(self, payments: Iterable[str | None]) -> None:
        """Tells of payments that the ledger holds already, from an earlier attempt at the cell."""
        if self.stored is not None:
            self.stored.booked.update(filter(None, payments))


@dataclass(frozen=True)
class Answered:
    """A request to a teacher with all the replies to it so far, and the payments that they came with."""

    who: str
    request: Request
    replies: tuple[Reply, ...]
    payments: tuple[str | None, ...]


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
    _got: dict[AddressedRequest, list[Delivery]] = field(default_factory=dict)
    _charged: dict[AddressedRequest, int] = field(default_factory=dict)
    _locks: dict[AddressedRequest, asyncio.Lock] = field(default_factory=dict)

    def begin(self) -> None:
        """To be called in every new event loop: a lock belongs to one."""
        self._locks.clear()

    async def get(self, who: str, ask: Request, samples: int) -> None:
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

    def got(self, request: AddressedRequest, samples: int) -> list[Reply]:
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

    def cost(self, asked: Asked) -> Usage:
        """What requests cost, had nothing been asked before."""
        return sum((self._price(request, 0, taken) for request, taken in _in_order(asked)), start=Usage())

    def commit(self, asked: Asked) -> list[Answered]:
        """Books what one question asked, without what the cell has been charged before; gives back what is new."""
        charged, spent, new = Usage(), Usage(), []
        for request, taken in _in_order(asked):
            before, samples = self._charged.get(request, 0), taken[-1]
            if samples <= before:
                continue
            charged += self._price(request, before, taken)
            spent += self._paid(request, before, samples)
            self._charged[request] = samples
            payments = tuple(delivery.payment for delivery in self._got[request][:samples])
            new.append(Answered(*request, tuple(self.got(request, samples)), payments))
        if charged != Usage():
            self.ledger.charge(TEACHER, charged)
        if spent != Usage():
            self.ledger.spend(TEACHER, spent)
        return new

    def settle(self) -> list[str]:
        """Books what was paid for what no question took; gives back the marks of these payments."""
        unbooked = {mark: cost for supplier in self.suppliers.values() for mark, cost in supplier.unbooked().items()}
        for cost in unbooked.values():
            self.ledger.spend(TEACHER, cost)
        return list(unbooked)

    def has_settled(self, payments: Sequence[str]) -> None:
        """Tells of payments that an earlier attempt at the cell has settled."""
        for supplier in self.suppliers.values():
            supplier.has_booked(payments)

    def _price(self, request: AddressedRequest, before: int, taken: Sequence[int]) -> Usage:
        supplier, replies, total = self.suppliers[request[0]], self.got(request, taken[-1]), Usage()
        for samples in taken:
            if samples > before:
                total += supplier.charge(replies[before:samples])
                before = samples
        return total

    def _paid(self, request: AddressedRequest, before: int, samples: int) -> Usage:
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
            deliveries = zip(row.replies, row.payments, strict=True)
            self._got[row.who, row.request] = [Delivery(reply, payment) for reply, payment in deliveries]
            self._charged[row.who, row.request] = len(row.replies)
            self.suppliers[row.who].has_booked(row.payments)


@dataclass
class QuestionMeter:
    """What an annotator asks through for one question, and what it asked."""

    meter: Meter
    asked: dict[AddressedRequest, tuple[int, ...]] = field(default_factory=dict)

    async def __call__(self, who: str, ask: Request, samples: int = 1) -> list[Reply]:
        """`samples` replies by one of the suppliers or local models."""
        if who in self.meter.local:
            return self.meter.local[who].generate([ask], samples)[0]
        await self.meter.get(who, ask, samples)
        taken = self.asked.get((who, ask), ())
        if samples > max(taken, default=0):
            self.asked[who, ask] = (*taken, samples)
        return self.meter.got((who, ask), samples)

    @property
    def cost(self) -> Usage:
        """What the question has cost so far, had nothing been asked before it."""
        return self.meter.cost(self.asked)

    def refuse_excess(self) -> None:
        """Raises TeacherError for a teacher that charged more for a request than it can cost at most."""
        for (who, request), taken in self.asked.items():
            most = self.meter.suppliers[who].teacher.most(PlannedRequest(who, request, taken[-1]))
            cost = self.meter.cost({(who, request): taken})
            for what in ("prompt_tokens", "completion_tokens"):
                if getattr(cost, what) > getattr(most, what):
                    raise TeacherError(
                        f"teacher={who} charged {getattr(cost, what):,} {what.replace('_', ' ')} for the "
                        f"{request.role} request of question {request.question_id!r}, which can have "
                        f"{getattr(most, what):,} at most: it "
                        "does not keep to the length cap (see teacher.token_cap_name) or adds to the prompt, and no "
                        "budget in tokens or dollars can be kept; give budget.questions or budget.calls"
                    )


def local_models(annotator: Annotator) -> frozenset[str]:
    """Whom of student and assistant an annotator says that it asks."""
    needs = annotator.requires()
    return frozenset(name for name, asked in ((STUDENT, needs.student_roles), (ASSISTANT, needs.assistant)) if asked)


def worst_case(planned: Sequence[PlannedRequest], suppliers: Mapping[str, Supplier], longest_local_reply: int) -> Usage:
    """The most that planned requests can cost. Raises ValueError for a request to nobody known.

    A reply that stands in a later prompt has the cap of its request, or else that of the planned teacher; one that no
    teacher is planned to give is a local model's.
    """
    writers = {request.request: request.who for request in planned}

    def longest(ask: Request) -> int:
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


def _in_order(asked: Asked) -> list[tuple[AddressedRequest, Sequence[int]]]:
    """The requests in an order that does not tell which was answered first."""
    return sorted(asked.items(), key=lambda item: repr(item[0]))
