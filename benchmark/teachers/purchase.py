"""Buying annotations: pick by pick in rank order, each admitted only if its worst case still fits the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from benchmark.contract import Annotator, Context
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.teacher import OpenTeacher, Price
from benchmark.types import Annotation, Ask, Pick, Reply, Usage


@dataclass
class Meter:
    """The metered way to the teacher. A request that this cell repeats is answered again and not charged again."""

    teacher: OpenTeacher | None
    price: Price
    ledger: Ledger
    source: str = "teacher"
    roles: frozenset[str] | None = None
    """The roles that the method declared; None allows all."""
    _seen: dict[Ask, list[Reply]] = field(default_factory=dict)
    _locks: dict[Ask, asyncio.Lock] = field(default_factory=dict)

    async def __call__(self, ask: Ask, samples: int = 1) -> list[Reply]:
        """`samples` replies; every one that is new costs a call."""
        if self.teacher is None or (self.roles is not None and ask.role not in self.roles):
            raise ValueError(f"a part asked the teacher in the role {ask.role!r} without declaring it in requires()")
        async with self._locks.setdefault(ask, asyncio.Lock()):
            known = self._seen.get(ask, [])
            if len(known) < samples:
                replies = await self.teacher.reply(ask, samples)
                for reply in replies[len(known) :]:
                    self.ledger.charge(self.source, self.price.of(reply))
                self._seen[ask] = known = replies
            return known[:samples]


@dataclass(frozen=True)
class Purchase:
    """What one round bought: the questions that were paid for, in order, and what was written about them."""

    question_ids: tuple[str, ...]
    annotations: tuple[Annotation, ...]


def buy(
    picks: Sequence[Pick],
    annotator: Annotator,
    context: Context,
    meter: Meter,
    budget: Budget,
    share: float,
    already_bought: int,
    advance: Callable[[int], None] = lambda questions: None,
) -> Purchase:
    """As many picks as fit into a share of the budget, up to the first that does not.

    `already_bought` counts the questions of earlier rounds. Raises ValueError for an annotator that costs more than the
    worst case that it declares: the budget could not be kept.
    """
    meter._locks.clear()  # a lock belongs to one event loop, and every purchase runs in its own

    async def buy_in_order() -> Purchase:
        question_ids: list[str] = []
        annotations: list[Annotation] = []
        for number, pick in enumerate(picks, already_bought + 1):
            before, most = meter.ledger.calls(), annotator.most_calls(pick.question)
            if not budget.admits(number, before + most, share):
                break
            rows = await annotator.annotate(pick, context, meter)
            if meter.ledger.calls() - before > most:
                raise ValueError(
                    f"{type(annotator).__name__} made {meter.ledger.calls() - before} calls for question "
                    f"{pick.question.id!r}, but its most_calls says {most}"
                )
            for source in {"human" if row.source == "human" else meter.source for row in rows} or {meter.source}:
                meter.ledger.charge(source, Usage(questions=1))
            question_ids.append(pick.question.id)
            annotations += rows
            advance(1)
        return Purchase(tuple(question_ids), tuple(annotations))

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
