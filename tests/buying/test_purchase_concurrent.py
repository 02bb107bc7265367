"""Buying many questions at once: what is bought, booked and kept is what buying one after the other gives."""

from __future__ import annotations

import asyncio
import copy
import math
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmark.buying.meter import Answered, Meter, Supplier
from benchmark.buying.purchase import Bought, SeparableContext, buy_in_rank_order, most_questions_at_once
from benchmark.contract import Annotator, AskModels, Context, PlanContext, Requirements
from benchmark.errors import TeacherError
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.teachers.teacher import Price
from benchmark.types import Annotation, Pick, PlannedRequest, Question, Reply, Request, Usage

PRICE = Price(0.1, 0.3)  # whose sums depend on their order in the last bit
CAP = 12
RULES = Request("rules", "What are the rules?", "any")


@dataclass
class SlowTeacher:
    """Answers after a random number of turns of the event loop. What it says, and how long, follows from the prompt."""

    seed: int | None = None
    in_flight: int = 0
    most_in_flight: int = 0
    answered: list[Request] = field(default_factory=list)
    broken_off: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    """Those of replies, by question, where a test says so."""
    fails_at: str = ""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def covers(self, question_id: str) -> bool:
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        prompt = len(request.request.prompt) + held_tokens
        return Usage(request.samples, request.samples * prompt, request.samples * CAP)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            for _ in range(0 if self.seed is None else self.chance.randrange(60)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        finally:
            self.in_flight -= 1
        if request.question_id == self.fails_at:
            raise TimeoutError("no answer")
        self.answered.append(request)
        return [self.says(request, sample) for sample in range(first, first + samples)]

    def says(self, request: Request, sample: int) -> Reply:
        chance = random.Random(f"{request.prompt} {request.temperature} {sample}")
        tokens = self.tokens.get(request.question_id, chance.randint(1, CAP))
        return Reply("x" * tokens, "stop", len(request.prompt), tokens)


@dataclass
class Notebook:
    """As much of a context as is needed."""

    teachers: tuple[str, ...] = ("scripted",)
    notes: Counter[str] = field(default_factory=Counter)

    def apart(self) -> Notebook:
        return replace(self, notes=Counter())

    def note(self, **counts: float) -> None:
        self.notes.update(counts)

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Any) -> Request:
        return Request(
            role, f"{role}: {question.text}{variables.get('reply', '')}", question.id, temperature=temperature
        )


@dataclass(frozen=True)
class Talk:
    """Two samples, a second turn where the first is long, and one request that all questions have in common."""

    needs: Requirements = field(default_factory=Requirements)
    kinds = frozenset({"rationale"})

    def requires(self) -> Requirements:
        return self.needs

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        first = context.prompt("first", question, temperature=0.5)
        return [
            PlannedRequest("scripted", first, 2),
            PlannedRequest("scripted", context.prompt("second", question), 1, (first,)),
            PlannedRequest("scripted", RULES),
        ]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        first = context.prompt("first", pick.question, temperature=0.5)
        replies, _ = await asyncio.gather(ask("scripted", first, 2), ask("scripted", RULES))
        text = replies[0].text
        if len(text) > CAP / 2:
            [second] = await ask("scripted", context.prompt("second", pick.question, reply=text))
            text = second.text
            context.note(second_turns=1)
        context.note(questions=1, letters=len(text))
        return [Annotation(pick.question, "rationale", "scripted", text, "a")]


def only(question: Question) -> Request:
    """A request of no tokens; the temperature makes it one of its own in a store."""
    return Request("only", "", question.id, temperature=float(question.id))


@dataclass(frozen=True)
class OneTurn:
    """One request a question."""

    needs: Requirements = field(default_factory=Requirements)
    kinds = frozenset({"rationale"})

    def requires(self) -> Requirements:
        return self.needs

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        return [PlannedRequest("scripted", only(question))]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        [reply] = await ask("scripted", only(pick.question))
        return [Annotation(pick.question, "rationale", "scripted", reply.text, "a")]


class Cut(BaseException):
    """A death."""


@dataclass
class Buying:
    """A purchase with a journal, which a cut leaves behind as far as it had come."""

    teacher: Any
    annotator: Annotator = field(default_factory=Talk)
    budget: Budget = field(default_factory=lambda: Budget(questions=40))
    at_once: int = 32
    count: int = 60
    cut_after: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger, self.context = Ledger(), Notebook()
        supplier = Supplier.behind_store if isinstance(self.teacher, StoredTeacher) else Supplier
        self.meter = Meter({"scripted": supplier(self.teacher, PRICE, self.at_once)}, self.ledger)

    def run(self) -> Buying:
        picks = [Pick(Question(str(i), f"question {i}" + "?" * (i % 7))) for i in range(self.count)]
        context, done = cast(SeparableContext, self.context), len(self.rows)
        rest, already = picks[done:], done
        buy_in_rank_order(
            rest, self.annotator, context, self.meter, self.budget, 1.0, already, self.keep, self.said.append
        )
        return self

    def keep(self, bought: Bought, answered: Sequence[Answered]) -> Bought:
        books = copy.deepcopy((self.ledger.charged, self.ledger.spent, self.context.notes))
        self.rows.append({"bought": bought, "answered": list(answered), "books": books})
        if len(self.rows) == self.cut_after:
            raise Cut
        return bought

    def gone_on(self, teacher: Any) -> Buying:
        """The same cell in a new process."""
        again = replace(self, teacher=teacher, rows=list(self.rows), cut_after=None)
        charged, spent, notes = copy.deepcopy(self.rows[-1]["books"])
        again.ledger.charged, again.ledger.spent = charged, spent
        again.context.notes.update(notes)
        again.meter.remember([row for one in self.rows for row in one["answered"]])
        return again.run()

    @property
    def ids(self) -> list[str]:
        return [row["bought"].question_id for row in self.rows]


def one_by_one(**settings: Any) -> Buying:
    return Buying(SlowTeacher(), at_once=1, **settings).run()


BUDGETS = (
    Budget(questions=37),
    Budget(calls=111),
    Budget(tokens=3000),
    Budget(usd=0.0004),
    Budget(questions=50, calls=120, tokens=2500, usd=0.00035),
)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_whoever_answers_first_the_purchase_is_that_of_one_after_the_other(budget: Budget) -> None:
    expected = one_by_one(budget=budget)
    assert 10 < len(expected.rows) < 60
    for seed in range(20):
        got = Buying(SlowTeacher(seed), budget=budget).run()
        assert got.rows == expected.rows  # every annotation, and the books and notes after every question, to the bit
        assert got.said == expected.said
    used = replace(expected.ledger.total(), questions=len(expected.rows))
    assert not budget.exceeded(used)
    following = Pick(Question(str(len(expected.rows)), f"question {len(expected.rows)}"))
    planned = Talk().most_requests(following.question, cast(PlanContext, Notebook()))
    dearest = expected.meter.most(planned, True) + Usage(questions=1)
    assert budget.exceeded(used + dearest)


@given(
    costs=st.lists(st.tuples(st.integers(0, CAP), st.integers(0, 4)), min_size=1, max_size=25),
    limit=st.integers(1, 200),
    at_once=st.integers(1, 32),
    seed=st.integers(0, 2**32),
)
@example(costs=[(6, 0), (6, 0)], limit=10, at_once=2, seed=0)  # the second fits only if the first costs nothing
@settings(max_examples=60, deadline=None)
def test_the_admitted_questions_have_a_closed_form(
    costs: list[tuple[int, int]], limit: int, at_once: int, seed: int
) -> None:
    """Admitted while the true cost of all before and the own worst case stay within the limit; the first ends it."""

    @dataclass
    class Slack(SlowTeacher):
        """Its worst case is the true cost and some slack."""

        def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
            return Usage(1, 0, sum(costs[int(request.request.question_id)]))

    used, admitted = 0, 0
    for cost, slack in costs:
        if used + cost + slack > limit:
            break
        used, admitted = used + cost, admitted + 1
    teacher = Slack(seed, tokens={str(i): cost for i, (cost, _) in enumerate(costs)})
    got = Buying(teacher, OneTurn(), Budget(tokens=limit), at_once, len(costs)).run()
    assert got.ids == [str(i) for i in range(admitted)]
    assert got.ledger.total().tokens == used == sum(teacher.tokens[request.question_id] for request in teacher.answered)
    assert len(teacher.answered) == admitted  # nobody was asked for nothing


def test_a_cheap_answer_lets_a_later_question_in_and_what_may_not_fit_waits() -> None:
    """Each may cost 12 and costs 4: of 28 tokens two are safe at once, and five are bought, for 4 + 4 + 4 + 4 + 12."""
    teacher = SlowTeacher(1, tokens=dict.fromkeys("01234567", 4))
    got = Buying(teacher, OneTurn(), Budget(tokens=28), at_once=32, count=8).run()
    assert got.ids == ["0", "1", "2", "3", "4"]
    assert got.ledger.total().tokens == 20
    assert teacher.most_in_flight == 2
    assert got.said == [
        "budget.tokens ends the purchase after 5 questions: 20 of 28 are used, and the next question may cost 12"
    ]


def test_dollars_are_bought_up_to_the_budget_and_not_beyond() -> None:
    dear = Price(0.0, 1e6)  # a dollar a token
    for limit, affordable in ((11.9, 0), (12.1, 1), (15.9, 1), (16.1, 2)):
        buying = Buying(SlowTeacher(2, tokens=dict.fromkeys("0123", 4)), OneTurn(), Budget(usd=limit), count=4)
        buying.meter.suppliers = {"scripted": Supplier(buying.teacher, dear, 8)}
        assert len(buying.run().rows) == affordable
        assert buying.ledger.total().usd == 4.0 * affordable <= limit


# --- how many at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 5, 32])
def test_so_many_questions_are_in_flight_and_no_more(at_once: int) -> None:
    teacher = SlowTeacher(3)
    Buying(teacher, OneTurn(), at_once=at_once).run()
    assert teacher.most_in_flight == at_once


@pytest.mark.parametrize("needs", [Requirements(student_roles=frozenset({"answer"})), Requirements(assistant=True)])
def test_local_models_are_asked_about_one_question_after_the_other(needs: Requirements) -> None:
    teacher = SlowTeacher(4)
    Buying(teacher, OneTurn(needs)).run()
    assert teacher.most_in_flight == 1


def test_the_teacher_with_the_least_concurrency_decides() -> None:
    teacher = SlowTeacher()
    meter = Meter({"a": Supplier(teacher, PRICE, 8), "b": Supplier(teacher, PRICE, 3)}, Ledger())
    assert most_questions_at_once(OneTurn(), meter) == 3
    assert most_questions_at_once(OneTurn(), Meter({}, Ledger())) == 1


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_what_is_before_a_failure_is_bought_and_nobody_in_flight_is_lost(seed: int) -> None:
    teacher = SlowTeacher(seed, fails_at="5")
    buying = Buying(teacher, OneTurn(), at_once=8)
    with pytest.raises(TimeoutError):
        buying.run()
    assert buying.ids == ["0", "1", "2", "3", "4"]
    assert buying.ledger.total() == Usage(5, 0, buying.ledger.total().completion_tokens, buying.ledger.total().usd, 5)
    answered = sorted(int(request.question_id) for request in teacher.answered)
    assert answered == [number for number in range(len(answered) + 1) if number != 5]
    assert teacher.broken_off == teacher.in_flight == 0


@pytest.mark.parametrize("seed", range(5))
def test_of_two_failures_the_first_in_rank_is_told(seed: int) -> None:
    class Failing(SlowTeacher):
        async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
            await super().reply(request, samples, first)
            raise TimeoutError(f"no answer for {request.question_id}")

    with pytest.raises(TimeoutError, match=r"no answer for 0$"):
        Buying(Failing(seed), OneTurn(), at_once=8, count=8).run()


def test_an_interrupt_breaks_off_what_is_in_flight_and_keeps_what_is_bought() -> None:
    class Interrupted(SlowTeacher):
        async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
            if request.question_id == "9":
                signal.raise_signal(signal.SIGINT)  # as Ctrl-C does
            return await super().reply(request, samples, first)

    teacher = Interrupted(6)
    buying = Buying(teacher, OneTurn(), at_once=4)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            buying.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert buying.ids == [str(i) for i in range(len(buying.ids))]
    assert 1 <= len(buying.ids) <= 9
    assert teacher.broken_off > 0
    assert teacher.in_flight == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("where", ["planning", "keeping"])
def test_what_goes_wrong_beside_the_questions_breaks_off_no_request(seed: int, where: str) -> None:
    class Unplanned(OneTurn):
        def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
            if where == "planning" and question.id == "9":
                raise OSError("no template")
            return super().most_requests(question, context)

    teacher = SlowTeacher(seed)
    buying = Buying(teacher, Unplanned(), at_once=8)
    if where == "keeping":
        real = buying.keep

        def keep(bought: Bought, answered: Any) -> Bought:
            if bought.question_id == "3":
                raise OSError("the disk is full")
            return real(bought, answered)

        buying.keep = keep  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no template" if where == "planning" else "the disk is full"):
        buying.run()
    assert buying.ids == [str(i) for i in range(len(buying.ids))]
    assert len(buying.ids) <= (9 if where == "planning" else 3)
    assert teacher.broken_off == teacher.in_flight == 0


@pytest.mark.parametrize("budget", [Budget(tokens=1000), Budget(usd=100.0)])
def test_a_teacher_that_writes_more_than_its_cap_is_named(budget: Budget) -> None:
    message = (
        r"^teacher=scripted charged 13 completion tokens for the only request of question '0', which can have "
        r"12 at most: it ignores the length cap .* give budget\.questions or budget\.calls$"
    )
    with pytest.raises(TeacherError, match=message):
        Buying(SlowTeacher(tokens={"0": CAP + 1}), OneTurn(), budget).run()


@pytest.mark.parametrize("budget", [Budget(tokens=1000), Budget(usd=100.0)])
def test_an_annotator_that_plans_too_little_is_named(budget: Budget) -> None:
    class Modest(OneTurn):
        def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
            return []

    with pytest.raises(
        ValueError, match=r"Modest cost 1 calls for question '0', but what it planned could cost 0 at most"
    ):
        Buying(SlowTeacher(tokens={"0": 5}), Modest(), budget).run()


def test_tokens_in_nobodys_budget_are_no_lie() -> None:
    assert len(Buying(SlowTeacher(tokens={"0": CAP + 1}), OneTurn()).run().rows) == 40


def test_a_request_to_nobody_is_refused_before_it_is_made() -> None:
    class Elsewhere(OneTurn):
        def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
            return [PlannedRequest("nobody", only(question))]

    teacher = SlowTeacher()
    with pytest.raises(ValueError, match="plans to ask 'nobody'"):
        Buying(teacher, Elsewhere(), Budget(tokens=99)).run()
    assert teacher.answered == []


# --- after a death ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[[str], TeacherStore]]:
    opened: list[TeacherStore] = []

    def store(name: str) -> TeacherStore:
        opened.append(TeacherStore(tmp_path / name, print))
        return opened[-1]

    yield store
    for each in opened:
        each.close()


def stored(teacher: Any, store: TeacherStore) -> StoredTeacher:
    return StoredTeacher(teacher, "scripted", "scripted", store, "me")


@pytest.mark.parametrize("cut_after", [1, 7, 20, 36])
def test_a_purchase_that_was_cut_goes_on_as_if_it_had_not_been(
    cut_after: int, stores: Callable[[str], TeacherStore]
) -> None:
    budget = Budget(tokens=3000)
    expected = Buying(stored(SlowTeacher(), stores("whole")), budget=budget, at_once=1).run()
    assert len(expected.rows) > 36
    for seed in range(3):
        died = Buying(stored(SlowTeacher(seed), stores(f"cut {seed}")), budget=budget, cut_after=cut_after)
        with pytest.raises(Cut):
            died.run()
        assert len(died.rows) == cut_after
        went_on = died.gone_on(stored(SlowTeacher(seed + 9), stores(f"cut {seed}")))
        assert went_on.rows == expected.rows
        assert went_on.context.notes["questions"] == len(expected.rows)


def test_replies_in_flight_at_a_failure_are_in_the_store(stores: Callable[[str], TeacherStore]) -> None:
    teacher = SlowTeacher(7, fails_at="3")
    with pytest.raises(TimeoutError):
        Buying(stored(teacher, stores("one")), OneTurn(), at_once=16, count=16).run()
    assert stores("one").counts() == {"replies": 15, "attempts: failed: TimeoutError": 1}
    again = SlowTeacher(8)
    bought = Buying(stored(again, stores("one")), OneTurn(), at_once=16, count=16).run()
    assert [request.question_id for request in again.answered] == ["3"]
    assert bought.ledger.spent == bought.ledger.charged  # the mark of the buyer is that of the failed attempt


@pytest.mark.parametrize("seed", range(10))
def test_one_text_in_two_rows_is_spent_by_the_first_in_rank(seed: int, stores: Callable[[str], TeacherStore]) -> None:
    class OneText(OneTurn):
        async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
            for _ in range(random.Random(f"{seed} {pick.question.id}").randrange(20)):
                await asyncio.sleep(0)
            await ask("scripted", Request("only", "", pick.question.id))
            return []

    got = Buying(stored(SlowTeacher(), stores("one")), OneText(), Budget(questions=4), at_once=4).run()
    one, *others = [spent["teacher"] for _, spent, _ in (row["books"] for row in got.rows)]
    assert (one.calls, one.questions) == (1, 1)
    assert others == [one] * 3
    assert got.ledger.total().calls == 4


def test_dollars_are_added_up_in_rank_order() -> None:
    """With this price list the sum of the same costs in another order is another float."""
    costs = [PRICE.of(Reply("", "stop", 7, n)).usd for n in range(1, 40)]
    assert len({math.fsum(costs), sum(costs), sum(reversed(costs)), sum(sorted(costs, key=str))}) > 1
