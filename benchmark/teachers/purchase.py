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

    teacher: OpenTeacher
    price: Price
    ledger: Ledger
    source: str = "teacher"
    _seen: dict[Ask, list[Reply]] = field(default_factory=dict)

    async def __call__(self, ask: Ask, samples: int = 1) -> list[Reply]:
        """`samples` replies; every one that is new costs a call."""
        known = self._seen.get(ask, [])
        if len(known) < samples:
            replies = await self.teacher.reply(ask, samples)
            for reply in replies[len(known) :]:
                self.ledger.charge(self.source, self.price.of(reply))
            self._seen[ask] = known = replies
        return known[:samples]


def buy(
    picks: Sequence[Pick],
    annotator: Annotator,
    context: Context,
    meter: Meter,
    budget: Budget,
    share: float,
    already_annotated: int,
    advance: Callable[[int], None] = lambda questions: None,
) -> list[Annotation]:
    """The annotations of as many picks as fit into a share of the budget, up to the first that does not.

    `already_annotated` counts the questions of earlier rounds.
    """
    return asyncio.run(_buy(picks, annotator, context, meter, budget, share, already_annotated, advance))


async def _buy(
    picks: Sequence[Pick],
    annotator: Annotator,
    context: Context,
    meter: Meter,
    budget: Budget,
    share: float,
    already_annotated: int,
    advance: Callable[[int], None],
) -> list[Annotation]:
    bought: list[Annotation] = []
    for number, pick in enumerate(picks, already_annotated + 1):
        if not budget.admits(number, meter.ledger.calls() + annotator.most_calls(pick.question), share):
            break
        rows = await annotator.annotate(pick, context, meter)
        bought += rows
        for source in sorted({"human" if row.source == "human" else meter.source for row in rows}):
            meter.ledger.charge(source, Usage(questions=1))
        advance(1)
    return bought


def reweighted(annotations: Sequence[Annotation], weights: dict[str, tuple[float, str]]) -> list[Annotation]:
    """The annotations with the weights and reasons given. Raises ValueError for a weight outside [0, 1]."""
    for annotation_id, (weight, reason) in weights.items():
        if not 0 <= weight <= 1:
            raise ValueError(f"weight {weight} of {annotation_id} ({reason}) is outside [0, 1]")
    return [
        replace(row, weight=weights[row.id][0], reason=weights[row.id][1]) if row.id in weights else row
        for row in annotations
    ]
