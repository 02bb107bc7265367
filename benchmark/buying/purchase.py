"""Buying annotations: in rank order, each only if its worst case still fits the budget, many at once where they may be.

What is decided and booked about a question follows from the questions before it, never from who answered first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from benchmark.buying.meter import TEACHER, Answered, Meter, QuestionMeter, local_models
from benchmark.contract import Annotator, Context
from benchmark.teachers.ledger import Budget
from benchmark.types import Annotation, Pick, Usage

HUMAN = "human"
"""The source of annotations, and of the ledger, that stands for people."""


class SeparableContext(Context, Protocol):
    """A context of which every question gets one of its own, so that its notes can wait for its turn."""

    @property
    def notes(self) -> Mapping[str, float]:
        """What was noted."""
        ...

    def apart(self) -> Self:
        """The same context with no notes yet."""
        ...


@dataclass(frozen=True)
class Bought:
    """A question that was paid for, and what was written about it."""

    question_id: str
    annotations: tuple[Annotation, ...]


Keep = Callable[[Bought, Sequence[Answered]], Bought]
"""Given a question and what was answered anew for it, as soon as it is booked; gives it back as it is to be used."""


def buy_in_rank_order(
    picks: Sequence[Pick],
    annotator: Annotator,
    context: SeparableContext,
    meter: Meter,
    budget: Budget,
    share: float,
    already_bought: int,
    keep: Keep = lambda bought, answered: bought,
    say: Callable[[str], None] = lambda line: None,
) -> list[Bought]:
    """As many picks as fit into a share of the budget, in order, up to the first that does not, which `say` is told.

    `already_bought` counts the questions of before. Where a question fails, those before it are bought and kept, those
    asked about at the moment are waited for, and then its error is raised. Raises ValueError for an annotator that
    costs more than the worst case that it planned, and TeacherError for a teacher that does: the budget could not be
    kept.
    """
    meter.begin()
    return asyncio.run(
        _Purchase(deque(picks), annotator, context, meter, budget, share, already_bought, keep, say).run()
    )


def most_questions_at_once(annotator: Annotator, meter: Meter) -> int:
    """How many questions may be in flight: as many requests as every teacher can be at work on.

    One where local models are asked: they answer in this process, and their work is booked by phase.
    """
    if local_models(annotator):
        return 1
    return min((supplier.concurrency for supplier in meter.suppliers.values()), default=1)


@dataclass
class _Order:
    """A question that is asked about, or was and waits for its turn to be booked."""

    pick: Pick
    most: Usage
    meter: QuestionMeter
    context: SeparableContext
    task: asyncio.Task[Sequence[Annotation]]

    @property
    def error(self) -> BaseException | None:
        return self.task.exception() if self.task.done() else None

    @property
    def bound(self) -> Usage:
        """The most that it can be charged, as far as is known by now."""
        return self.meter.cost if self.task.done() else self.most


@dataclass
class _Purchase:
    """`waiting` are picks not yet asked about, `open` questions not yet booked, both in rank order."""

    waiting: deque[Pick]
    annotator: Annotator
    context: SeparableContext
    meter: Meter
    budget: Budget
    share: float
    already_bought: int
    keep: Keep
    say: Callable[[str], None]
    open: deque[_Order] = field(default_factory=deque)
    bought: list[Bought] = field(default_factory=list)

    async def run(self) -> list[Bought]:
        at_once = most_questions_at_once(self.annotator, self.meter)
        broken: Exception | None = None
        try:
            while True:
                broken = broken or self._go_on(at_once)
                errors = [order.error for order in self.open if order.error is not None]
                if not self._running() or not all(isinstance(error, Exception) for error in errors):
                    break
                await asyncio.wait(self._running(), return_when=asyncio.FIRST_COMPLETED)
            for error in (broken, *errors):
                if error is not None:
                    raise error
            return self.bought
        finally:
            for task in self._running():
                task.cancel()
            await asyncio.gather(*self._running(), return_exceptions=True)

    def _go_on(self, at_once: int) -> Exception | None:
        """Books what is finished and asks about what fits, if nothing failed.

        Gives back what went wrong here: it must not break off what is under way, which is paid for.
        """
        try:
            self._commit_finished()
            if all(order.error is None for order in self.open):
                self._ask_what_fits(at_once)
        except Exception as error:
            return error
        return None

    def _running(self) -> list[asyncio.Task[Sequence[Annotation]]]:
        return [order.task for order in self.open if not order.task.done()]

    # --- admission ----------------------------------------------------------------------------------------------------

    def _ask_what_fits(self, at_once: int) -> None:
        """Starts picks as long as it is certain that they will be admitted once all before them are booked."""
        while self.waiting and len(self._running()) < at_once:
            most = self._most(self.waiting[0])
            exceeded = self.budget.exceeded(self._bound_with(most), self.share)
            if exceeded and not self.open:
                self._end(exceeded, most)
            if exceeded:
                return
            self._start(self.waiting.popleft(), most)

    def _most(self, pick: Pick) -> Usage:
        planned = self.annotator.most_requests(pick.question, self.context)
        return self.meter.most(planned, self.budget.counts_tokens)

    def _bound_with(self, most: Usage) -> Usage:
        """The most that the cell can have been charged after one more question.

        Added up in rank order as the ledger does it, or dollars could come out smaller here than there.
        """
        number = self.already_bought + len(self.bought) + len(self.open) + 1
        total = sum((order.bound for order in self.open), start=self.meter.ledger.total())
        return replace(total + most, questions=number)

    def _end(self, exceeded: Sequence[str], most: Usage) -> None:
        """Of what is left nothing is bought, whatever it costs: the order is the selection's."""
        self.waiting.clear()
        for name in exceeded:
            if name != "questions":
                used, limit = getattr(self.meter.ledger.total(), name), self.budget.part(name, self.share)
                self.say(
                    f"budget.{name} ends the purchase after {self.already_bought + len(self.bought)} questions: "
                    f"{_amount(name, used)} of {_amount(name, limit)} are used, and the next question may cost "
                    f"{_amount(name, getattr(most, name))}"
                )

    # --- one question -------------------------------------------------------------------------------------------------

    def _start(self, pick: Pick, most: Usage) -> None:
        meter, context = QuestionMeter(self.meter), self.context.apart()
        task = asyncio.create_task(self._annotated(pick, most, meter, context))
        self.open.append(_Order(pick, most, meter, context, task))

    async def _annotated(
        self, pick: Pick, most: Usage, meter: QuestionMeter, context: SeparableContext
    ) -> Sequence[Annotation]:
        rows = await self.annotator.annotate(pick, context, meter)
        for unit in ("calls", "tokens", "usd") if self.budget.counts_tokens else ("calls",):
            cost, planned = getattr(meter.cost, unit), getattr(most, unit)
            if cost > planned:
                meter.refuse_excess()
                raise ValueError(
                    f"{type(self.annotator).__name__} cost {_amount(unit, cost)} {unit} for question "
                    f"{pick.question.id!r}, but what it planned could cost {_amount(unit, planned)} at most"
                )
        return rows

    def _commit_finished(self) -> None:
        """Books, notes and keeps what is finished, up to the first question that is not."""
        while self.open and self.open[0].task.done() and self.open[0].error is None:
            order = self.open.popleft()
            bought = Bought(order.pick.question.id, tuple(order.task.result()))
            answered = self._book(order, bought)
            self.context.note(**order.context.notes)
            self.bought.append(self.keep(bought, answered))

    def _book(self, order: _Order, bought: Bought) -> list[Answered]:
        ledger = self.meter.ledger
        spent_before = ledger.spent.get(TEACHER)
        answered = self.meter.commit(order.meter.asked)
        for source in {HUMAN if row.source == HUMAN else TEACHER for row in bought.annotations} or {TEACHER}:
            ledger.charge(source, Usage(questions=1))
        if ledger.spent.get(TEACHER) != spent_before:
            ledger.spend(TEACHER, Usage(questions=1))
        return answered


def _amount(unit: str, value: float) -> str:
    return f"{value:.6g}" if unit == "usd" else f"{round(value):,}"


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
