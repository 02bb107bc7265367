"""Buying annotations: pick by pick in rank order, each admitted only if its worst case still fits the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.contract import ASSISTANT, STUDENT, Annotator, Context, TextModel
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.stored_teacher import Delivery, StoredTeacher
from benchmark.teachers.teacher import OpenTeacher, Price
from benchmark.types import Annotation, Ask, Pick, Reply, Usage

TEACHER, HUMAN = "teacher", "human"
"""The sources of the ledger: all teachers together, and people."""


@dataclass(frozen=True)
class Supplier:
    """A teacher that is ready to answer, and what its replies cost.

    Only what a `StoredTeacher` buys is really paid for; any other teacher's replies cost nothing to get.
    """

    teacher: OpenTeacher
    price: Price

    async def deliver(self, ask: Ask, samples: int, known: int) -> list[Delivery]:
        """The replies behind the first `known`, up to `samples` in all."""
        if isinstance(self.teacher, StoredTeacher):
            return await self.teacher.deliver(ask, samples - known, known)
        return [Delivery(reply) for reply in (await self.teacher.reply(ask, samples))[known:]]


@dataclass(frozen=True)
class Answered:
    """A request to a teacher with all the replies to it so far."""

    who: str
    ask: Ask
    replies: tuple[Reply, ...]


@dataclass
class Meter:
    """The metered way to the models. A request to a teacher that this cell repeats is not charged again.

    `local` are the models that cost nothing here, student and assistant; `roles` those that the method declared for its
    teachers, None for all.
    """

    suppliers: Mapping[str, Supplier]
    ledger: Ledger
    roles: frozenset[str] | None = None
    local: Mapping[str, TextModel] = field(default_factory=dict)
    _seen: dict[tuple[str, Ask], list[Reply]] = field(default_factory=dict)
    _new: list[Answered] = field(default_factory=list)
    _locks: dict[tuple[str, Ask], asyncio.Lock] = field(default_factory=dict)

    async def __call__(self, who: str, ask: Ask, samples: int = 1) -> list[Reply]:
        """`samples` replies by one of the suppliers or local models; every new one of a teacher costs a call."""
        if who in self.local:
            return self.local[who].generate([ask], samples)[0]
        if who in (STUDENT, ASSISTANT):
            raise ValueError(f"a part asked the {who} without declaring it in requires()")
        if self.roles is not None and ask.role not in self.roles:
            raise ValueError(f"a part asked the teacher in the role {ask.role!r} without declaring it in requires()")
        if who not in self.suppliers:
            known = ", ".join((*self.suppliers, *self.local))
            raise ValueError(f"a part asked {who!r}, who is nobody here; there are {known}")
        supplier, request = self.suppliers[who], (who, ask)
        async with self._locks.setdefault(request, asyncio.Lock()):
            known_replies = self._seen.get(request, [])
            if len(known_replies) < samples:
                deliveries = await supplier.deliver(ask, samples, len(known_replies))
                for delivery in deliveries:
                    self._book(supplier.price.of(delivery.reply), delivery.paid)
                self._seen[request] = known_replies = [*known_replies, *(new.reply for new in deliveries)]
                self._new.append(Answered(who, ask, tuple(known_replies)))
            return known_replies[:samples]

    def _book(self, usage: Usage, paid: bool) -> None:
        self.ledger.charge(TEACHER, usage)
        if paid:
            self.ledger.spend(TEACHER, usage)

    @property
    def asked(self) -> frozenset[str]:
        """The teachers that have answered in this cell, in an earlier attempt too."""
        return frozenset(who for who, _ in self._seen)

    def newly_answered(self) -> list[Answered]:
        """What the teachers answered since this was asked last."""
        new, self._new = self._new, []
        return new

    def remember(self, answered: Sequence[Answered]) -> None:
        """Requests that were paid for before, so that they are not charged again."""
        for row in answered:
            self._seen[row.who, row.ask] = list(row.replies)
            teacher = self.suppliers[row.who].teacher
            if isinstance(teacher, StoredTeacher):
                teacher.has_booked(row.ask, len(row.replies))


@dataclass(frozen=True)
class Bought:
    """A question that was paid for, and what was written about it."""

    question_id: str
    annotations: tuple[Annotation, ...]


def buy(
    picks: Sequence[Pick],
    annotator: Annotator,
    context: Context,
    meter: Meter,
    budget: Budget,
    share: float,
    already_bought: int,
    keep: Callable[[Bought], Bought] = lambda bought: bought,
) -> list[Bought]:
    """As many picks as fit into a share of the budget, in order, up to the first that does not.

    `already_bought` counts the questions of before. `keep` is given each question as soon as it is paid for, and gives
    it back as it is to be used. Raises ValueError for an annotator that costs more than the worst case that it
    declares: the budget could not be kept.
    """
    meter._locks.clear()  # a lock belongs to one event loop, and every purchase runs in its own

    async def buy_in_order() -> list[Bought]:
        purchase: list[Bought] = []
        for number, pick in enumerate(picks, already_bought + 1):
            before, most = meter.ledger.calls(), annotator.most_calls(pick.question)
            spent_before = meter.ledger.spent.get(TEACHER)
            if not budget.admits(number, before + most, share):
                break
            rows = await annotator.annotate(pick, context, meter)
            if meter.ledger.calls() - before > most:
                raise ValueError(
                    f"{type(annotator).__name__} made {meter.ledger.calls() - before} calls for question "
                    f"{pick.question.id!r}, but its most_calls says {most}"
                )
            for source in {HUMAN if row.source == HUMAN else TEACHER for row in rows} or {TEACHER}:
                meter.ledger.charge(source, Usage(questions=1))
            if meter.ledger.spent.get(TEACHER) != spent_before:
                meter.ledger.spend(TEACHER, Usage(questions=1))
            purchase.append(keep(Bought(pick.question.id, tuple(rows))))
        return purchase

    return asyncio.run(buy_in_order())


def reweighted(annotations: Sequence[Annotation], weights: dict[str, tuple[float, str]]) -> list[Annotation]:
    """The annotations with the weights given. Raises ValueError for a weight outside [0, 1] or an unknown id."""
    strangers = sorted(weights.keys() - {row.id for row in annotations})
    if strangers:
        raise ValueError(f"the weighting weighed {strangers[0]!r}, which is no annotation of this cell")
    for annotation_id, (weight, reason) in weights.items():
        if not 0 <= weight <= 1:
            raise ValueError(f"weight {weight} of {annotation_id} ({reason}) is outside [0, 1]")
    return [
        replace(row, weight=weights[row.id][0], reason=weights[row.id][1]) if row.id in weights else row
        for row in annotations
    ]
