"""Buys replies before training (`mode=annotate`): all that the first round asks and that needs no trained student.

The code of a run ranks and buys the first round, so a later run asks the same requests and finds their replies in the
store. Where a run would measure the teacher on the test questions, those requests are bought too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, cast

from benchmark.buying.meter import TEACHER, Answered, Meter, QuestionMeter, Supplier, local_models
from benchmark.buying.purchase import Bought
from benchmark.buying.reply_counts import ReplyCounts
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
from benchmark.running.unread import of_unread
from benchmark.student.frozen import PretrainedAssistant
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.local_model import LocalModel
from benchmark.teachers.prompts import prompt_library_for
from benchmark.teachers.replies import CONTENT_FILTER
from benchmark.teachers.stored_teacher import EMPTY, is_final
from benchmark.teachers.traffic import traffic_of, traffic_since
from benchmark.types import Annotation, Json, Pick, Reply, Request, Usage

Say = Callable[[str], None]


@dataclass
class AnnotatedAhead:
    """What `annotate_ahead` did for one cell."""

    questions: int = 0
    """Questions whose replies are now in the store."""
    bought: Usage = field(default_factory=Usage)
    """Calls, tokens and US dollars paid for now."""
    held_calls: int = 0
    """Calls that cost nothing, because the store held their replies."""
    unkept: Counter[str] = field(default_factory=Counter)
    """What is wrong -> replies that are not final (cut, refused, empty, unreadable): the store keeps none of them, and
    a run asks again."""
    replies: ReplyCounts = field(default_factory=ReplyCounts)
    """What came of all replies."""
    unread: str | None = None
    """How many annotations state no answer that the task can read, with a quote; None if there are none."""
    waits: list[str] = field(default_factory=list)
    """What cannot be bought before a student is trained."""
    needless: str | None = None
    """Why there is nothing to buy; None where there is."""
    failure: str | None = None
    """What went wrong; None where nothing did."""
    traffic: dict[str, Json] = field(default_factory=dict)
    """What was sent to the servers of live teachers, by teacher."""


def annotate_ahead(cell: Cell, say: Say) -> AnnotatedAhead:
    """Buys what can be bought for the cell now. An error is reported in the result; only an interruption raises."""
    done = AnnotatedAhead()
    if not cell.asks_teacher:
        done.needless = "asks no teacher"
    elif not cell.needs_store:
        done.needless = f"the replies of teacher={cell.teacher.name} cost nothing and are kept in no store"
    else:
        before = traffic_of(cell.teachers)
        try:
            with isolated(), _opened_buyer(cell, done, say) as buyer:
                buyer.buy_first_round()
                buyer.ask_for_reference()
        except Exception as error:
            line = (str(error).splitlines() or [""])[0]
            done.failure = line if isinstance(error, ConfigError) else f"{type(error).__name__}: {line}"
        done.traffic = traffic_since(before, cell.teachers)
    return done


# --- models that are absent ------------------------------------------------------------------------------------------


class StudentNeeded(Exception):
    """A part asked the student, which does not exist yet."""


class AbsentStudent:
    """Takes the place of the student: any use of it raises StudentNeeded."""

    def __getattr__(self, name: str) -> NoReturn:
        raise StudentNeeded


class AssistantOnDemand:
    """Takes the place of the assistant, and reads its weights when a part first uses it."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._model: TextModel | None = None

    def __getattr__(self, name: str) -> Any:
        if self._model is None:
            assert self._cell.used_assistant is not None
            if isinstance(self._cell.used_assistant, PretrainedAssistant):
                self._cell.used_assistant.check()
            self._model = load_assistant(self._cell)
        return getattr(self._model, name)


class StopsWhereStudentNeeded:
    """An annotator that stops a question where it needs the student. What it asked before that is bought.

    With a budget in calls, tokens or dollars (`goes_on` is False) it also stops at the first such question: its full
    cost is unknown, so the number of questions that a run will admit is unknown too.
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
def _opened_buyer(cell: Cell, done: AnnotatedAhead, say: Say) -> Iterator[AheadOfTimeBuyer]:
    suppliers, store = open_teachers(cell, uuid.uuid4().hex, say)
    buyer = AheadOfTimeBuyer(cell, suppliers, done, say)
    try:
        yield buyer
    finally:
        buyer.add_up()
        if store is not None:
            store.close()


class AheadOfTimeBuyer:
    """Buys for one cell, and counts in `done`."""

    def __init__(self, cell: Cell, suppliers: Mapping[str, Supplier], done: AnnotatedAhead, say: Say) -> None:
        self.cell = cell
        self.splits = cell.dataset.load()
        self.prompts = prompt_library_for(cell.method.parts)
        self.suppliers = suppliers
        self.done = done
        self.say = say
        self.local = {STUDENT: cast("LocalModel", AbsentStudent())}
        if cell.used_assistant is not None:
            self.local[ASSISTANT] = cast("LocalModel", AssistantOnDemand(cell))
        roles = cell.needs.teacher_roles
        asked = local_models(cell.method.annotation)
        local = {name: model for name, model in self.local.items() if name in asked}
        self.round_meter = Meter(suppliers, Ledger(), roles, local, cell.longest_local_reply)
        self.reference_meter = Meter(suppliers, Ledger())
        self._annotations: list[Annotation] = []

    def buy_first_round(self) -> None:
        """Buys what the first round of a run asks the teacher."""
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
        share = purchase.share_so_far(context)
        total = purchase.most_questions(len(picks), share, 0)
        with purchase_bar("annotating", total, lambda: _spent(self.round_meter)) as advance:

            def keep(bought: Bought, answered: Sequence[Answered]) -> Bought:
                self.done.questions += 1
                self._annotations += bought.annotations
                self._count_unkept(answered)
                advance(1)
                return bought

            purchase.buy_round(picks, context, share, 0, keep, self.say)

    def ask_for_reference(self) -> None:
        """Buys what a run asks the teacher about the test questions. The answers are not read."""
        name = reference_teacher(self.cell.asked_teachers, self.cell.evaluation)
        if name is None or self.cell.reads_teacher:  # a model in this process answers then, and nothing is paid
            return
        test = self.cell.dataset.load().test  # the seal of a copy is broken: nothing here decides anything
        test.unseal()
        questions = [example.without_gold() for example in test.open()]
        requests = reference_asks(self.suppliers[name].teacher, self.cell.dataset, self.prompts, questions)
        with purchase_bar(
            "asking about test questions", len(requests), lambda: _spent(self.reference_meter)
        ) as advance:

            async def reply(request: Request) -> list[Reply]:
                question = QuestionMeter(self.reference_meter)
                replies = await question(name, request)
                self._count_unkept(self.reference_meter.commit(question.asked))
                advance(1)
                return replies

            asyncio.run(ask_each(requests, reply, self.cell.teachers[name].concurrency))

    def add_up(self) -> None:
        """Writes into `done` what was bought, also after a failure."""
        for meter in (self.round_meter, self.reference_meter):
            self.done.held_calls += meter.ledger.total().calls - _spent(meter).calls
            meter.settle()
            self.done.bought += replace(_spent(meter), questions=0)
            self.done.replies += sum(meter.reply_counts.values(), start=ReplyCounts())
        self.done.unread = of_unread(self._annotations, self.cell.dataset.task)

    def _count_unkept(self, answered: Sequence[Answered]) -> None:
        for row in answered:
            if self.suppliers[row.who].stored is not None:
                self.done.unkept.update(_outcome(reply) for reply in row.replies if not is_final(row.request, reply))


def _outcome(reply: Reply) -> str:
    """What is wrong with a reply that is not final, in a word for people."""
    return {"stop": EMPTY, "length": "cut at the length cap", CONTENT_FILTER: "refused"}.get(reply.finish, reply.finish)


def _spent(meter: Meter) -> Usage:
    return meter.ledger.spent.get(TEACHER, Usage())


def _limits_questions_only(cell: Cell) -> bool:
    return all(limit is None for name, limit in vars(cell.budget).items() if name != "questions")
