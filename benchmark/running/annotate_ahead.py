"""Fills the teacher store ahead of training, with everything that depends on no trained student.

The first round is ranked and bought by the code of a run, and where the settings have the teacher asked about the test
questions too, it is. So the requests are those of a run, which then finds their replies in the store.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, cast

from benchmark.buying.meter import TEACHER, Answered, Meter, QuestionMeter, Supplier, local_models
from benchmark.buying.purchase import Bought
from benchmark.buying.round_purchase import RoundPurchase
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext, context_of
from benchmark.cell.sources import covered_pool
from benchmark.console.progress import purchase_bar
from benchmark.contract import ASSISTANT, STUDENT, Annotator, AskModels, Context, TextModel
from benchmark.errors import ConfigError
from benchmark.evaluation.reference import ask_each, reference_asks, reference_teacher
from benchmark.running.cell_models import load_assistant, open_teachers
from benchmark.running.isolation import isolated
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.prompts import prompt_library_for
from benchmark.teachers.stored_teacher import is_final
from benchmark.teachers.traffic import traffic_of, traffic_since
from benchmark.types import Annotation, Json, Pick, Reply, Request, Usage

Say = Callable[[str], None]


@dataclass
class Preparation:
    """What preparing a cell came to.

    `bought` was paid for now; `held_calls` cost nothing, since the store held their replies. `unkept` replies did not
    end by themselves, so that no store keeps them. `waits` says what needs a student, `needless` why there is nothing
    to prepare, `failure` what went wrong. `traffic` is what went to the servers of live teachers.
    """

    questions: int = 0
    bought: Usage = field(default_factory=Usage)
    held_calls: int = 0
    unkept: int = 0
    waits: list[str] = field(default_factory=list)
    needless: str | None = None
    failure: str | None = None
    traffic: dict[str, Json] = field(default_factory=dict)


def prepare(cell: Cell, say: Say) -> Preparation:
    """Buys what can be bought for the cell now. What goes wrong is told in the result; only interruptions raise."""
    done = Preparation()
    if not cell.asks_teacher:
        done.needless = "asks no teacher"
    elif not cell.needs_store:
        done.needless = f"the replies of teacher={cell.teacher.name} cost nothing and are kept in no store"
    else:
        before = traffic_of(cell.teachers)
        try:
            with isolated(), _opened_buyer(cell, done, say) as desk:
                desk.buy_first_round()
                desk.ask_for_reference()
        except Exception as error:
            line = (str(error).splitlines() or [""])[0]
            done.failure = line if isinstance(error, ConfigError) else f"{type(error).__name__}: {line}"
        done.traffic = traffic_since(before, cell.teachers)
    return done


# --- who is not here --------------------------------------------------------------------------------------------------


class StudentNeeded(Exception):
    """A part turned to the student."""


class AbsentStudent:
    """Stands where the student will be."""

    def __getattr__(self, name: str) -> NoReturn:
        raise StudentNeeded


class AssistantOnDemand:
    """Stands for the assistant, whose weights are read when a part first turns to it."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._model: TextModel | None = None

    def __getattr__(self, name: str) -> Any:
        if self._model is None:
            assert self._cell.used_assistant is not None
            self._cell.used_assistant.check()
            self._model = load_assistant(self._cell)
        return getattr(self._model, name)


class StopsWhereStudentNeeded:
    """An annotator that stops at a question where it needs the student; what it asked before that is bought.

    Where the budget limits what a question may cost, it asks nothing any more after the first such question: without
    the rest of its costs, nobody knows how many questions a run will admit.
    """

    def __init__(self, annotator: Annotator, goes_on: bool) -> None:
        self._annotator = annotator
        self._goes_on = goes_on
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._annotator, name)

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """The annotations; none where the student is needed."""
        try:
            if self._goes_on or not self.waiting:
                return await self._annotator.annotate(pick, context, ask)
        except StudentNeeded:
            pass
        self.waiting += 1
        return []


# --- buying -----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened_buyer(cell: Cell, done: Preparation, say: Say) -> Iterator[AheadOfTimeBuyer]:
    suppliers, store = open_teachers(cell, uuid.uuid4().hex, say)
    desk = AheadOfTimeBuyer(cell, suppliers, done, say)
    try:
        yield desk
    finally:
        desk.add_up()
        if store is not None:
            store.close()


class AheadOfTimeBuyer:
    """Where the purchases of one cell are made, and counted in `done`."""

    def __init__(self, cell: Cell, suppliers: Mapping[str, Supplier], done: Preparation, say: Say) -> None:
        self.cell = cell
        self.splits = cell.dataset.load()
        self.prompts = prompt_library_for(cell.method.parts)
        self.suppliers = suppliers
        self.done = done
        self.say = say
        self.local = {STUDENT: cast("TextModel", AbsentStudent())}
        if cell.used_assistant is not None:
            self.local[ASSISTANT] = cast("TextModel", AssistantOnDemand(cell))
        roles = cell.method.requires().teacher_roles
        asked = local_models(cell.method.annotation)
        local = {name: model for name, model in self.local.items() if name in asked}
        self.round_meter = Meter(suppliers, Ledger(), roles, local, cell.longest_local_reply)
        self.reference_meter = Meter(suppliers, Ledger())

    def buy_first_round(self) -> None:
        """What the first round of a run asks."""
        cell = self.cell
        round_ = cell.method.schedule.next_round(())
        if round_ is None:
            return
        if round_.share < 1:
            self.done.waits.append(f"{1 - round_.share:.0%} of the budget is for rounds after the first")
        annotator = StopsWhereStudentNeeded(cell.method.annotation, _limits_questions_only(cell))
        method = replace(cell.method, annotation=cast("Annotator", annotator))
        pool = covered_pool(cell, self.splits)
        purchase = RoundPurchase(replace(cell, method=method), pool, self.round_meter)
        assistant = self.local.get(ASSISTANT)
        context = context_of(cell, self.splits, self.prompts, round_, self.local[STUDENT], assistant)
        try:
            picks = purchase.rank((), context)
        except StudentNeeded:
            self.done.waits.append("the selection asks the student")
            return
        self._buy(purchase, picks, context)
        self.done.questions -= annotator.waiting
        if annotator.waiting:
            self.done.waits.append("the annotation asks the student; what it asks the teacher before that is prepared")

    def _buy(self, purchase: RoundPurchase, picks: Sequence[Pick], context: CellContext) -> None:
        share = purchase.budget_so_far(context)
        total = purchase.most_questions(len(picks), share, 0)
        with purchase_bar("annotating", total, lambda: _spent(self.round_meter)) as advance:

            def keep(bought: Bought, answered: Sequence[Answered]) -> Bought:
                self.done.questions += 1
                self._count_unkept(answered)
                advance(1)
                return bought

            purchase.buy_round(picks, context, share, 0, keep, self.say)

    def ask_for_reference(self) -> None:
        """What the end of a run asks for the teacher's own accuracy. Their answers are not looked at."""
        name = reference_teacher(self.cell.asked_teachers, self.cell.evaluation)
        if name is None:
            return
        test = self.cell.dataset.load().test  # the seal of a copy is broken: nothing here decides anything
        test.unseal()
        questions = [example.without_gold() for example in test.open()]
        requests = reference_asks(self.suppliers[name].teacher, self.cell.dataset, self.prompts, questions)
        with purchase_bar(
            "asking about test questions", len(requests), lambda: _spent(self.reference_meter)
        ) as advance:

            async def reply(ask: Request) -> list[Reply]:
                question = QuestionMeter(self.reference_meter)
                replies = await question(name, ask)
                self._count_unkept(self.reference_meter.commit(question.asked))
                advance(1)
                return replies

            asyncio.run(ask_each(requests, reply, self.cell.teachers[name].concurrency))

    def add_up(self) -> None:
        """Tells in `done` what was bought, after a failure too."""
        for meter in (self.round_meter, self.reference_meter):
            self.done.held_calls += meter.ledger.total().calls - _spent(meter).calls
            meter.settle()
            self.done.bought += replace(_spent(meter), questions=0)

    def _count_unkept(self, answered: Sequence[Answered]) -> None:
        for row in answered:
            if self.suppliers[row.who].stored is not None:
                self.done.unkept += sum(not is_final(row.request, reply) for reply in row.replies)


def _spent(meter: Meter) -> Usage:
    return meter.ledger.spent.get(TEACHER, Usage())


def _limits_questions_only(cell: Cell) -> bool:
    return all(limit is None for name, limit in vars(cell.budget).items() if name != "questions")
