"""Buys annotations in rank order, each only if its worst case still fits the budget, and many at once where possible.

Whether a question is bought, and what it is charged, depends on the questions before it in rank order; it never
depends on which reply came first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from benchmark.buying.meter import TEACHER, Answered, Meter, QuestionMeter, local_models
from benchmark.contract import Annotator, Context
from benchmark.tasks.guard import raise_refused
from benchmark.teachers.ledger import Budget
from benchmark.types import Annotation, Pick, Usage

HUMAN = "human"
"""`Annotation.source` of annotations by people, and the name of their line in the ledger."""


class SeparableContext(Context, Protocol):
    """A context that every question gets its own copy of, so that its notes are counted when it is booked."""

    @property
    def notes(self) -> Mapping[str, float]:
        """Name -> sum of what was counted with `Context.note`."""
        ...

    def apart(self) -> Self:
        """A copy of the context, without notes."""
        ...


@dataclass(frozen=True)
class Bought:
    """A question that was bought, and its annotations."""

    question_id: str
    annotations: tuple[Annotation, ...]


Keep = Callable[[Bought, Sequence[Answered]], Bought]
"""Called with each question as soon as it is booked, and with the requests that brought new replies for it; saves
both, and returns the question as it is read back."""


def buy_in_rank_order(
    picks: Sequence[Pick],
    annotator: Annotator,
    context: SeparableContext,
    meter: Meter,
    budget: Budget,
    share_so_far: float,
    already_bought: int,
    keep: Keep = lambda bought, answered: bought,
    say: Callable[[str], None] = lambda line: None,
) -> list[Bought]:
    """Buys picks in order until the first that does not fit, and returns them with their annotations.

    Args:
        picks: the questions, best first.
        annotator: writes the annotations.
        context: what the annotator sees.
        meter: asks the models and books the cost.
        budget: the limits of the whole cell.
        share_so_far: the share of the budget, in [0, 1], that this purchase and all earlier ones may use together.
        already_bought: number of questions that the cell bought before.
        keep: saves a booked question.
        say: receives a line if a limit other than `budget.questions` ends the purchase.

    Raises:
        ValueError: the annotator cost more than the worst case of its planned requests.
        TeacherError: a teacher charged more for a request than it can cost at most.
        Exception: the first error of a question in rank order. All questions before it are bought and kept, and
            questions in flight are waited for before it is raised.
    """
    meter.begin()
    return asyncio.run(
        _Purchase(deque(picks), annotator, context, meter, budget, share_so_far, already_bought, keep, say).run()
    )


def most_questions_at_once(annotator: Annotator, meter: Meter) -> int:
    """How many questions may be in flight: the number of requests that each teacher can answer at the same time.

    Where the annotator asks local models, at most `Meter.local_questions_at_once`: what they are asked at the same time
    is one batch. A teacher whose replies cost nothing to get then sets no limit.
    """
    suppliers = meter.suppliers.values()
    if local_models(annotator):
        waited_for = (supplier.concurrency for supplier in suppliers if supplier.stored is not None)
        return min((meter.local_questions_at_once, *waited_for))
    return min((supplier.concurrency for supplier in suppliers), default=1)


@dataclass
class _Order:
    """A question in flight, or answered and waiting until all questions before it are booked."""

    pick: Pick
    most: Usage
    """Worst case of its cost."""
    meter: QuestionMeter
    context: SeparableContext
    task: asyncio.Task[Sequence[Annotation]]

    @property
    def error(self) -> BaseException | None:
        return self.task.exception() if self.task.done() else None

    @property
    def bound(self) -> Usage:
        """The most that it can be charged: its cost if it is answered, else its worst case."""
        return self.meter.cost if self.task.done() else self.most


@dataclass
class _Purchase:
    """The state of one `buy_in_rank_order`."""

    waiting: deque[Pick]
    """Picks that are not asked about yet, in rank order."""
    annotator: Annotator
    context: SeparableContext
    meter: Meter
    budget: Budget
    share_so_far: float
    already_bought: int
    keep: Keep
    say: Callable[[str], None]
    open: deque[_Order] = field(default_factory=deque)
    """Questions that are asked about but not booked yet, in rank order."""
    bought: list[Bought] = field(default_factory=list)

    async def run(self) -> list[Bought]:
        at_once = most_questions_at_once(self.annotator, self.meter)
        broken: Exception | None = None
        try:
            while True:
                broken = broken or self._advance(at_once)
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

    def _advance(self, at_once: int) -> Exception | None:
        """Books finished questions, and starts questions that fit the budget unless a question failed.

        Returns its own error instead of raising it: questions in flight are paid for and must be finished first.
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
        """Starts picks in order, as long as each fits even if all questions in flight cost their worst case."""
        while self.waiting and len(self._running()) < at_once:
            most = self._most(self.waiting[0])
            exceeded = self.budget.exceeded(self._bound_with(most), self.share_so_far)
            if exceeded and not self.open:
                self._end(exceeded, most)
            if exceeded:
                return
            self._start(self.waiting.popleft(), most)

    def _most(self, pick: Pick) -> Usage:
        planned = self.annotator.most_requests(pick.question, self.context)
        return self.meter.most(planned, self.budget.counts_tokens)

    def _bound_with(self, most: Usage) -> Usage:
        """The most that the cell can be charged in all, with one more question.

        It adds in rank order, as the ledger does: in another order, rounding could make the dollars smaller than there.
        """
        number = self.already_bought + len(self.bought) + len(self.open) + 1
        total = sum((order.bound for order in self.open), start=self.meter.ledger.total())
        return replace(total + most, questions=number)

    def _end(self, exceeded: Sequence[str], most: Usage) -> None:
        """Stops at the first pick that does not fit; later, cheaper picks are not tried, so that rank order decides."""
        self.waiting.clear()
        for name in exceeded:
            if name != "questions":
                used, limit = getattr(self.meter.ledger.total(), name), self.budget.part(name, self.share_so_far)
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
        raise_refused()  # before the question is kept, so that a later attempt cannot go on from it
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
        """Books and keeps finished questions in rank order, up to the first question that is not finished."""
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
        self.meter.commit_local(order.meter.worked)
        for source in {HUMAN if row.source == HUMAN else TEACHER for row in bought.annotations} or {TEACHER}:
            ledger.charge(source, Usage(questions=1))
        if ledger.spent.get(TEACHER) != spent_before:
            ledger.spend(TEACHER, Usage(questions=1))
        return answered


def _amount(unit: str, value: float) -> str:
    return f"{value:.6g}" if unit == "usd" else f"{round(value):,}"
