"""Local models that annotators ask: in batches, beside a teacher at work, and booked with the question that asked."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from benchmark.buying.meter import Meter, QuestionMeter, Supplier
from benchmark.buying.purchase import Bought, SeparableContext, buy_in_rank_order, most_questions_at_once
from benchmark.contract import STUDENT, AskModels, Context, PlanContext, Requirements
from benchmark.student.student import Student
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.types import Annotation, Pick, PlannedRequest, Question, Reply, Request, Usage
from tests.buying.test_purchase_concurrent import CAP, PRICE, Notebook, SlowTeacher
from tests.student.student_parts import shared_student, student_of


@dataclass
class Watched(Student):
    """A network that writes down how many requests came together."""

    sizes: list[int] = field(default_factory=list)
    fails_at: str = ""

    def generate(self, requests: Sequence[Request], samples: int = 1, *rest: Any, **more: Any) -> list[list[Reply]]:
        self.sizes.append(len(requests))
        if self.fails_at in {request.question_id for request in requests}:
            raise Ended
        return super().generate(requests, samples, *rest, **more)


class Ended(BaseException):
    """A death in the student."""


def watched(**changes: Any) -> Watched:
    return Watched(**{**vars(student_of(shared_student().network, max_length=40)), **changes})


@dataclass(frozen=True)
class SaysAndAsks:
    """The student writes two drafts and goes on from the first; then the teacher says something."""

    temperature: float = 0.0
    drafts: int = 2
    kinds = frozenset({"rationale"})

    def requires(self) -> Requirements:
        return Requirements(student_roles=frozenset({"draft"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        return [PlannedRequest("scripted", Request("check", question.text, question.id))]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        question = pick.question
        draft = Request("draft", question.text, question.id, 6, self.temperature)
        first, *others = await ask(STUDENT, draft, self.drafts)
        [teachers] = await ask("scripted", Request("check", question.text, question.id))
        [rest] = await ask(STUDENT, replace(draft, prefix=first.text))
        [judged] = await ask(STUDENT, Request("judge", question.text, question.id, continuations=("1", "2")))
        said = [first.text, *(reply.text for reply in others), teachers.text, rest.text]
        chances = [f"{nats:.3f}" for nats in judged.continuation_log_probabilities or ()]
        return [Annotation(question, "rationale", "scripted", "|".join([*said, *chances]), "a")]


def questions(count: int = 20) -> list[Pick]:
    """Some of them longer than the student's window."""
    return [Pick(Question(str(i), f"{i}+{i}=" + "?" * (7 * (i % 6)))) for i in range(count)]


@dataclass
class Bill:
    rows: list[Bought]
    usage: Usage
    counts: Counter[str]
    sizes: list[int]


def buy(at_once: int, annotator: Any = None, student: Watched | None = None, teacher: Any = None) -> Bill:
    student = student or watched()
    supplier = Supplier(teacher or SlowTeacher(5), PRICE)
    meter = Meter({"scripted": supplier}, Ledger(), None, {STUDENT: student}, local_questions_at_once=at_once)
    context = cast(SeparableContext, Notebook())
    rows: list[Bought] = []

    def kept(bought: Bought, answered: Any) -> Bought:
        rows.append(bought)
        return bought

    with suppress(Ended):
        buy_in_rank_order(questions(), annotator or SaysAndAsks(), context, meter, Budget(questions=20), 1.0, 0, kept)
    return Bill(rows, student.usage, student.counters, student.sizes)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_results_and_books_do_not_depend_on_how_questions_are_gathered(temperature: float) -> None:
    alone, together = buy(1, SaysAndAsks(temperature)), buy(64, SaysAndAsks(temperature))
    assert set(alone.sizes) == {1}
    assert max(together.sizes) == 20
    assert sum(together.sizes) == sum(alone.sizes) == 60
    assert together.rows == alone.rows
    assert together.usage == alone.usage
    assert together.counts == alone.counts
    assert alone.usage.calls == 20 * 4
    assert alone.counts["truncated_prompts"] > alone.counts["shortened_replies"] > 0


def test_what_the_student_did_is_booked_with_the_question_and_not_before() -> None:
    """A cell that dies goes on behind the last booked question: work for later ones must not be on its books."""
    student = watched(fails_at="7")
    # One question after the other reaches its death alone; together, all of them die with it.
    bill = buy(1, student=student)
    assert [bought.question_id for bought in bill.rows] == [str(i) for i in range(7)]
    whole = buy(1)
    ended = buy(64, SaysAndAsks(drafts=1), watched(fails_at="7"))
    assert ended.rows == []
    assert ended.usage == Usage()
    assert 0 < bill.usage.calls == 7 * 4 < whole.usage.calls


def test_a_teacher_goes_on_while_the_student_writes() -> None:
    answered = threading.Event()

    class Answers(SlowTeacher):
        async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
            for _ in range(50):  # turns of the event loop: none comes while it is blocked
                await asyncio.sleep(0)
            answered.set()
            return await super().reply(request, samples, first)

    class Waits(Watched):
        def generate(self, *given: Any, **more: Any) -> list[list[Reply]]:
            assert answered.wait(20)
            return super().generate(*given, **more)

    @dataclass(frozen=True)
    class Both(SaysAndAsks):
        async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
            question = pick.question
            await asyncio.gather(
                ask("scripted", Request("check", question.text, question.id)),
                ask(STUDENT, Request("draft", question.text, question.id, 6)),
            )
            return [Annotation(question, "rationale", "scripted", "", "a")]

    student = Waits(**vars(watched()))
    assert len(buy(64, Both(), student, Answers(1)).rows) == 20


def test_the_teacher_that_is_waited_for_and_the_batch_say_how_many_are_in_flight(tmp_path: Any) -> None:
    asks = SaysAndAsks()
    free = Supplier(SlowTeacher(), PRICE, 1)
    store = TeacherStore(tmp_path / "store.sqlite", print)
    live = Supplier.behind_store(StoredTeacher(SlowTeacher(), {}, "scripted", store, "b"), PRICE, 3)
    try:
        assert most_questions_at_once(asks, Meter({"a": free}, Ledger(), local_questions_at_once=64)) == 64
        assert most_questions_at_once(asks, Meter({"a": live}, Ledger(), local_questions_at_once=64)) == 3
        assert most_questions_at_once(asks, Meter({"a": live}, Ledger(), local_questions_at_once=2)) == 2
        assert most_questions_at_once(asks, Meter({"a": free}, Ledger())) == 1
    finally:
        store.close()


def test_a_question_alone_needs_no_purchase() -> None:
    student = watched()
    question = QuestionMeter(Meter({}, Ledger(), None, {STUDENT: student}))
    [reply] = asyncio.run(question(STUDENT, Request("draft", "1+1=", "q", CAP)))
    assert reply.log_probability is not None
    assert question.worked[STUDENT].usage == Usage(1, reply.prompt_tokens, reply.completion_tokens)
    assert student.usage == Usage()
