"""Asks models for a cell and books the cost: replies are fetched at once, but booked in the questions' rank order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.buying.branches import dearest
from benchmark.buying.local_asks import LocalDesk, LocalWork
from benchmark.buying.reply_counts import ReplyCounts, count_replies
from benchmark.contract import ASSISTANT, STUDENT, Annotator
from benchmark.errors import TeacherError
from benchmark.tasks.guard import gold_opened
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.local_model import LocalModel
from benchmark.teachers.replies import thought_apart, until_stop
from benchmark.teachers.stored_teacher import FAILED, Delivery, StoredTeacher
from benchmark.teachers.teacher import OpenTeacher, Price
from benchmark.types import PlannedRequest, Reply, Request, Thinking, Usage

TEACHER = "teacher"
"""Name of the ledger's line for all teachers together."""
ROUNDING = 1e-12
"""Relative margin on a worst case in dollars, since a sum of floats depends on the order of its terms."""
AddressedRequest = tuple[str, Request]
"""(name of the model asked, request)."""
Asked = Mapping[AddressedRequest, Sequence[int]]
"""Request -> how many of its replies were taken in all, after each time that more were asked for: growing numbers."""


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
    thinking: Thinking = "strip"
    """What becomes of the traces in its replies. The store keeps replies as they came: another setting buys nothing."""

    def __post_init__(self) -> None:
        if isinstance(self.teacher, StoredTeacher) and self.stored is None:
            raise ValueError("a teacher behind the store must say what was paid; use Supplier.behind_store")

    @classmethod
    def behind_store(
        cls, teacher: StoredTeacher, price: Price, concurrency: int = 1, thinking: Thinking = "strip"
    ) -> Supplier:
        """A supplier whose replies are paid for and kept."""
        return cls(teacher, price, concurrency, teacher, thinking)

    async def deliver(self, request: Request, samples: int, known: int) -> list[Delivery]:
        """The replies number `known` to `samples - 1`, counted from 0: those that the caller lacks.

        Their traces stand apart from their texts, which end where a text of `Request.stop` ends them.
        """
        with gold_opened():  # teachers may be recordings and simulations, which know the answers
            if self.stored is not None:
                delivered = await self.stored.deliver(request, samples - known, known)
            else:
                delivered = [Delivery(reply) for reply in (await self.teacher.reply(request, samples))[known:]]
        return [
            replace(each, reply=until_stop(thought_apart(each.reply, self.thinking), request)) for each in delivered
        ]

    def charge(self, replies: Sequence[Reply]) -> Usage:
        """Cost of replies that were requested together, as if this cell had bought them itself."""
        first, *others = map(self.price.of, replies)
        if self.stored is not None and self.stored.samples_share_a_request:
            others = [self.price.priced(replace(each, prompt_tokens=0)) for each in others]
        return sum(others, start=first)

    def must_spend(self, delivery: Delivery) -> bool:
        """Returns True if the cell paid for a reply and has not booked it, and marks it: the caller must book it."""
        return self.stored is not None and self.stored.book(delivery)

    def unbooked(self) -> dict[str, Usage]:
        """Payments of this cell for replies that no question used: payment id -> cost.

        Marks them as booked: the caller must book them. A request without a reply counts as 0 calls.
        """
        if self.stored is None:
            return {}
        paid = {payment: (reply, self.price.with_waste(reply)) for payment, reply in self.stored.unbooked().items()}
        return {
            mark: replace(cost, calls=0) if reply.finish == FAILED else cost for mark, (reply, cost) in paid.items()
        }

    def has_booked(self, payments: Iterable[str | None]) -> None:
        """Marks payments as booked, as an earlier attempt at the cell has booked them in the ledger."""
        if self.stored is not None:
            self.stored.booked.update(filter(None, payments))


@dataclass(frozen=True)
class Answered:
    """A request to a teacher, with all its replies so far."""

    who: str
    """The teacher's name."""
    request: Request
    replies: tuple[Reply, ...]
    """All replies that the cell was charged for, in the order of their sample numbers."""
    payments: tuple[str | None, ...]
    """Per reply the id of this cell's payment; None if this cell paid nothing for it."""


@dataclass
class Meter:
    """The replies and the ledger of one cell. It charges a repeated request to a teacher only once."""

    suppliers: Mapping[str, Supplier]
    """Name -> teacher."""
    ledger: Ledger
    roles: frozenset[str] | None = None
    """The prompt roles in which the method declared that it asks teachers; None allows all."""
    local: Mapping[str, LocalModel] = field(default_factory=dict)
    """Name -> local model (student, assistant); asking it costs nothing here."""
    longest_local_reply: int = 0
    """The most tokens of a local model's reply."""
    local_questions_at_once: int = 1
    """The number of questions in flight where the annotator asks local models, if teachers can answer as many."""
    _got: dict[AddressedRequest, list[Delivery]] = field(default_factory=dict)
    _charged: dict[AddressedRequest, int] = field(default_factory=dict)
    _locks: dict[AddressedRequest, asyncio.Lock] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _desks: dict[str, LocalDesk] = field(default_factory=dict)

    def begin(self) -> None:
        """Drops all locks. Call it first in every new event loop, as a lock belongs to one loop."""
        self._locks.clear()
        self._turn = asyncio.Lock()
        self._desks.clear()

    async def ask_local(self, who: str, request: Request, samples: int) -> tuple[list[Reply], LocalWork]:
        """Replies of a local model, computed together with what else waits for it, and the work. Books nothing."""
        desk = self._desks.setdefault(who, LocalDesk(self.local[who], self._turn))
        return await desk.ask(request, samples)

    def commit_local(self, worked: Mapping[str, LocalWork]) -> None:
        """Counts what local models did for one question, now that the question is booked."""
        for who, work in sorted(worked.items()):
            self.local[who].book(work.usage, work.counts)

    async def get(self, who: str, request: Request, samples: int) -> None:
        """Fetches replies of a teacher until the cell has `samples` of them. Books nothing.

        Raises ValueError for an unknown teacher, and for a model or a role that no part declared.
        """
        if who in (STUDENT, ASSISTANT):
            raise ValueError(f"a part asked the {who} without declaring it in requires()")
        if self.roles is not None and request.role not in self.roles:
            raise ValueError(
                f"a part asked the teacher in the role {request.role!r} without declaring it in requires()"
            )
        supplier, addressed = self._supplier(who), (who, request)
        async with self._locks.setdefault(addressed, asyncio.Lock()):
            known = self._got.get(addressed, [])
            if len(known) < samples:
                self._got[addressed] = [*known, *await supplier.deliver(request, samples, len(known))]

    def got(self, request: AddressedRequest, samples: int) -> list[Reply]:
        """The first `samples` replies to a request, all fetched before."""
        return [delivery.reply for delivery in self._got[request][:samples]]

    def _supplier(self, who: str) -> Supplier:
        if who not in self.suppliers:
            known = ", ".join((*self.suppliers, *self.local))
            raise ValueError(f"a part asked {who!r}, but no model has that name; there are {known}")
        return self.suppliers[who]

    # --- what it costs ------------------------------------------------------------------------------------------------

    def most(self, planned: Sequence[PlannedRequest], counts_tokens: bool) -> Usage:
        """The most that planned requests cost: calls, and also tokens and US dollars if `counts_tokens`."""
        if not counts_tokens:
            return dearest([(request, Usage(calls=request.samples)) for request in planned])
        return worst_case(planned, self.suppliers, self.longest_local_reply)

    def cost(self, asked: Asked) -> Usage:
        """What requests cost if the cell had asked nothing before them."""
        return sum((self._price(request, 0, taken) for request, taken in _in_order(asked)), start=Usage())

    def commit(self, asked: Asked) -> list[Answered]:
        """Books the requests of one question, except for replies that the cell was charged for before.

        Returns the requests with new replies, each with all its replies.
        """
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
        """Books payments for replies that no question used, as spent only. Returns the ids of these payments."""
        unbooked = {mark: cost for supplier in self.suppliers.values() for mark, cost in supplier.unbooked().items()}
        for cost in unbooked.values():
            self.ledger.spend(TEACHER, cost)
        return list(unbooked)

    def has_settled(self, payments: Sequence[str]) -> None:
        """Marks payments as booked that an earlier attempt at the cell settled."""
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
        """Whether the tokens of any charged reply were estimated."""
        return any(reply.tokens_are_estimated for replies in self._replies().values() for reply in replies)

    @property
    def reply_counts(self) -> dict[str, ReplyCounts]:
        """Teacher -> what came of the replies that this cell was charged for, earlier attempts included."""
        return {who: count_replies(replies) for who, replies in sorted(self._replies().items())}

    def _replies(self) -> dict[str, list[Reply]]:
        """Teacher -> all replies that the cell was charged for."""
        charged: dict[str, list[Reply]] = {}
        for (who, request), samples in self._charged.items():
            charged.setdefault(who, []).extend(self.got((who, request), samples))
        return charged

    @property
    def asked(self) -> frozenset[str]:
        """Names of the teachers whose replies this cell was charged for, earlier attempts included."""
        return frozenset(who for who, _ in self._charged)

    def remember(self, answered: Sequence[Answered]) -> None:
        """Takes in requests that an earlier attempt at the cell booked, so that they are not charged again."""
        for row in answered:
            deliveries = zip(row.replies, row.payments, strict=True)
            self._got[row.who, row.request] = [Delivery(reply, payment) for reply, payment in deliveries]
            self._charged[row.who, row.request] = len(row.replies)
            self.suppliers[row.who].has_booked(row.payments)


@dataclass
class QuestionMeter:
    """The `ask` function of an annotator for one question; it remembers what was asked."""

    meter: Meter
    asked: dict[AddressedRequest, tuple[int, ...]] = field(default_factory=dict)
    """What the question asked its teachers so far; see `Asked`."""
    worked: dict[str, LocalWork] = field(default_factory=dict)
    """What local models did for the question so far, by their names."""

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        """Returns `samples` replies of the teacher or local model called `who`."""
        if who in self.meter.local:
            replies, work = await self.meter.ask_local(who, request, samples)
            self.worked.setdefault(who, LocalWork()).add(work)
            return replies
        await self.meter.get(who, request, samples)
        taken = self.asked.get((who, request), ())
        if samples > max(taken, default=0):
            self.asked[who, request] = (*taken, samples)
        return self.meter.got((who, request), samples)

    @property
    def cost(self) -> Usage:
        """What the question has cost so far, if the cell had asked nothing before it."""
        return self.meter.cost(self.asked)

    @gold_opened()
    def refuse_excess(self) -> None:
        """Raises TeacherError if a teacher charged more tokens for a request than `OpenTeacher.most` allows."""
        for (who, request), taken in self.asked.items():
            most = self.meter.suppliers[who].teacher.most(PlannedRequest(who, request, taken[-1]))
            cost = self.meter.cost({(who, request): taken})
            for what in ("prompt_tokens", "completion_tokens"):
                if getattr(cost, what) > getattr(most, what):
                    raise TeacherError(
                        f"teacher={who} charged {getattr(cost, what):,} {what.replace('_', ' ')} for the "
                        f"{request.role} request of question {request.question_id!r}, which can have "
                        f"{getattr(most, what):,} at most: it "
                        "ignores the length cap (see teacher.token_cap_name) or adds to the prompt, so a budget in "
                        "tokens or dollars cannot be kept; give budget.questions or budget.calls"
                    )


def local_models(annotator: Annotator) -> frozenset[str]:
    """Which of `student` and `assistant` the annotator declares that it asks."""
    needs = annotator.requires()
    return frozenset(name for name, asked in ((STUDENT, needs.student_roles), (ASSISTANT, needs.assistant)) if asked)


@gold_opened()
def worst_case(planned: Sequence[PlannedRequest], suppliers: Mapping[str, Supplier], longest_local_reply: int) -> Usage:
    """The most calls, tokens and US dollars that planned requests can cost; of each choice the dearest option.

    An earlier reply that a prompt quotes counts with the length cap of its request, or else of the teacher that writes
    it; if no teacher is planned to write it, with `longest_local_reply`. Raises ValueError for an unknown teacher.
    """
    writers = {request.request: request.who for request in planned}

    def longest(request: Request) -> int:
        if request.max_new_tokens is not None:
            return request.max_new_tokens
        if request not in writers:
            return longest_local_reply
        return suppliers[writers[request]].teacher.most(PlannedRequest(writers[request], request)).completion_tokens

    def most(request: PlannedRequest) -> Usage:
        if request.who not in suppliers:
            raise ValueError(f"a part plans to ask {request.who!r}, but no teacher has that name")
        supplier = suppliers[request.who]
        return supplier.price.priced(supplier.teacher.most(request, sum(map(longest, request.holds))))

    total = dearest([(request, most(request)) for request in planned])
    return replace(total, usd=total.usd * (1 + ROUNDING))


def _in_order(asked: Asked) -> list[tuple[AddressedRequest, Sequence[int]]]:
    """Sorts the requests by their text, so that the order does not depend on which was answered first."""
    return sorted(asked.items(), key=lambda item: repr(item[0]))
