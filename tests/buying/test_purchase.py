"""Buying: the ledger agrees with the teacher's own counters, and no budget is exceeded by one."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.axes.annotation import FewShotCot, HumanLabels, Together
from benchmark.axes.weighting import reweighted
from benchmark.buying.meter import Meter, QuestionMeter, Supplier
from benchmark.buying.purchase import SeparableContext, buy_in_rank_order
from benchmark.contract import Annotator, AskModels, Context, PlanContext, Requirements
from benchmark.running.record_content import ledger_entries
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.teacher import Price
from benchmark.types import Annotation, Example, Pick, PlannedRequest, Question, Reply, Request, Usage, Weight

PRICE = Price(2.0, 10.0)


@dataclass
class CountingTeacher:
    """A scripted teacher that keeps its own books."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    asked: list[str] = field(default_factory=list)
    slow: bool = False

    def covers(self, question_id: str) -> bool:
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        completion = sum(3 + sample for sample in range(request.samples))
        return Usage(request.samples, request.samples * (len(request.request.prompt) + held_tokens), completion)

    async def reply(self, request: Request, samples: int) -> list[Reply]:
        if self.slow:
            await asyncio.sleep(0)
        self.calls += samples
        self.asked.append(request.question_id)
        replies = []
        for sample in range(samples):
            reply = Reply(f"r{sample} The answer is {sample}.", "stop", len(request.prompt), 3 + sample, 0.5)
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
            replies.append(reply)
        return replies


class AnyTask:
    name = "any"

    def parse(self, question: Question, text: str) -> str | None:
        return text


@dataclass
class FakeContext:
    """As much of a context as annotators use."""

    teachers: tuple[str, ...] = ("scripted",)
    task: Any = field(default_factory=AnyTask)
    notes: Counter[str] = field(default_factory=Counter)

    def apart(self) -> FakeContext:
        return replace(self, notes=Counter())

    def note(self, **counts: float) -> None:
        self.notes.update(counts)

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Any) -> Request:
        return Request(role, f"{role}: {question.text}", question.id, temperature=temperature)

    def gold(self, question: Question) -> Example:
        return Example(question.id, question.text, "42", rationale="by heart")


CONTEXT = cast(SeparableContext, FakeContext())


@dataclass(frozen=True)
class SometimesRevised:
    """May ask a second time: its worst case is `worst` calls, what it spends is decided per question."""

    spends: tuple[int, ...]
    worst: int
    kinds = frozenset({"rationale"})

    def requires(self) -> Requirements:
        return Requirements(teacher_roles=frozenset({"few_shot_cot"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        return [PlannedRequest("scripted", context.prompt(f"turn{n}", question)) for n in range(self.worst)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        for number in range(self.spends[int(pick.question.id) % len(self.spends)]):
            await ask("scripted", context.prompt(f"turn{number}", pick.question))
        return [Annotation(pick.question, "rationale", context.teachers[0], "r", "a")]


RULES = Request("rules", "What are the rules?", "0")


@dataclass(frozen=True)
class AsksTheSameAgain:
    """Asks one and the same thing for every question, beside the question itself."""

    kinds = frozenset({"rationale"})

    def requires(self) -> Requirements:
        return Requirements()

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        return [PlannedRequest("scripted", request) for request in (RULES, context.prompt("few_shot_cot", question))]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        [rules] = await ask("scripted", RULES)
        [reply] = await ask("scripted", context.prompt("few_shot_cot", pick.question))
        return [Annotation(pick.question, "rationale", "scripted", rules.text, reply.text)]


def picks_of(count: int) -> list[Pick]:
    return [Pick(Question(str(i), f"question {i}" + "?" * i)) for i in range(count)]


def meter_of(teacher: CountingTeacher, ledger: Ledger) -> Meter:
    return Meter({"scripted": Supplier(teacher, PRICE)}, ledger)


def purchase(
    annotator: Annotator,
    budget: Budget,
    count: int = 50,
    share: float = 1.0,
    already: int = 0,
    ledger: Ledger | None = None,
    teacher: CountingTeacher | None = None,
) -> tuple[list[Annotation], Ledger, CountingTeacher]:
    ledger, teacher = ledger or Ledger(), teacher or CountingTeacher()
    meter = meter_of(teacher, ledger)
    bought = buy_in_rank_order(picks_of(count)[already:], annotator, CONTEXT, meter, budget, share, already)
    ids = [one.question_id for one in bought]
    assert len(ids) == len(set(ids))
    assert all({row.question.id for row in one.annotations} <= {one.question_id} for one in bought)
    return [row for one in bought for row in one.annotations], ledger, teacher


def assert_books_agree(ledger: Ledger, teacher: CountingTeacher) -> None:
    booked = ledger.charged.get("teacher", Usage())
    assert booked.calls == teacher.calls == ledger.total().calls
    assert booked.prompt_tokens == teacher.prompt_tokens
    assert booked.completion_tokens == teacher.completion_tokens
    assert math.isclose(booked.usd, (2 * teacher.prompt_tokens + 10 * teacher.completion_tokens) / 1e6, abs_tol=1e-12)


# --- the books -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 3])
def test_the_ledger_agrees_with_the_teachers_own_counters(samples: int) -> None:
    rows, ledger, teacher = purchase(FewShotCot(samples=samples), Budget(questions=7))
    assert teacher.calls == 7 * samples == len(rows)
    assert_books_agree(ledger, teacher)
    assert ledger.charged["teacher"].questions == 7
    assert [row.sample for row in rows] == list(range(samples)) * 7
    assert set(ledger.charged) == {"teacher"}


def test_dollars_follow_the_price_list() -> None:
    assert PRICE.of(Reply("x", "stop", 1_000_000, 100_000)) == Usage(1, 1_000_000, 100_000, 3.0)
    assert Price().of(Reply("x", "stop", 10, 10)).usd == 0


def test_a_repeated_request_is_charged_once_within_a_purchase() -> None:
    rows, ledger, teacher = purchase(AsksTheSameAgain(), Budget(questions=10))
    assert teacher.calls == 11  # ten questions and the rules once
    assert_books_agree(ledger, teacher)
    assert {row.rationale for row in rows} == {"r0 The answer is 0."}


def test_more_samples_of_a_known_request_cost_only_the_new_ones() -> None:
    ledger = Ledger()
    meter = meter_of(CountingTeacher(), ledger)
    request = Request("few_shot_cot", "how?", "0")

    async def turns() -> list[list[Reply]]:
        replies = []
        for samples in (2, 1, 5, 5, 3):
            question = QuestionMeter(meter)
            replies.append(await question("scripted", request, samples))
            meter.commit(question.asked)
        return replies

    replies = asyncio.run(turns())
    assert [len(turn) for turn in replies] == [2, 1, 5, 5, 3]
    assert replies[0] == replies[2][:2]
    assert ledger.total().calls == 5
    assert ledger.charged["teacher"].completion_tokens == 3 + 4 + 5 + 6 + 7


def test_other_temperatures_and_roles_are_other_requests() -> None:
    ledger = Ledger()
    meter = meter_of(CountingTeacher(), ledger)
    question = QuestionMeter(meter)

    async def turns() -> None:
        for request in (
            Request("a", "p", "0"),
            Request("b", "p", "0"),
            Request("a", "p", "0", temperature=0.7),
            Request("a", "p", "1"),
        ):
            await question("scripted", request)

    asyncio.run(turns())
    meter.commit(question.asked)
    assert ledger.total().calls == 4


def test_equal_requests_at_the_same_time_are_charged_once() -> None:
    ledger, teacher = Ledger(), CountingTeacher(slow=True)
    meter = meter_of(teacher, ledger)
    question = QuestionMeter(meter)

    async def at_once() -> None:
        await asyncio.gather(*(question("scripted", RULES) for _ in range(3)))

    asyncio.run(at_once())
    meter.commit(question.asked)
    assert teacher.calls == 1
    assert ledger.total().calls == 1


def test_human_labels_are_booked_apart() -> None:
    rows, ledger, teacher = purchase(HumanLabels(), Budget(questions=4))
    assert [row.answer for row in rows] == ["42"] * 4
    assert teacher.calls == ledger.total().calls == 0
    assert ledger.charged == {"human": Usage(questions=4)}

    rows, ledger, teacher = purchase(Together((FewShotCot(), HumanLabels())), Budget(questions=4))
    assert [row.kind for row in rows] == ["rationale", "gold"] * 4
    assert ledger.charged["human"] == Usage(questions=4)
    assert ledger.charged["teacher"].questions == 4
    assert_books_agree(ledger, teacher)


def test_books_add_up_over_purchases_and_are_shown_sorted() -> None:
    ledger = Ledger()
    ledger.charge("teacher", Usage(1, 10, 5, 0.5))
    ledger.charge("human", Usage(questions=1))
    ledger.charge("teacher", Usage(2, 1, 1, 0.25, 3))
    assert list(ledger_entries(ledger.charged)) == ["human", "teacher"]
    assert ledger_entries(ledger.charged)["teacher"].as_json() == {
        "calls": 3,
        "prompt_tokens": 11,
        "completion_tokens": 6,
        "usd": 0.75,
        "questions": 3,
    }


# --- the budget ----------------------------------------------------------------------------------------------------


@given(
    questions=st.none() | st.integers(1, 30),
    calls=st.none() | st.integers(1, 40),
    spends=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    slack=st.integers(0, 2),
    shares=st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5]), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_no_budget_is_exceeded_by_one_and_nothing_affordable_is_left(
    questions: int | None, calls: int | None, spends: list[int], slack: int, shares: list[float]
) -> None:
    if questions is None and calls is None:
        return
    if sum(shares) > 1:
        return
    budget, worst = Budget(questions, calls), max(spends) + slack
    annotator = SometimesRevised(tuple(spends), worst)
    ledger, teacher = Ledger(), CountingTeacher()
    bought, spent = 0, 0.0
    for share in (*shares, 1 - sum(shares)):
        spent += share
        rows, _, _ = purchase(annotator, budget, 60, spent, bought, ledger, teacher)
        bought += len(rows)
        assert questions is None or bought <= round(questions * spent)
        assert calls is None or teacher.calls <= round(calls * spent)
        assert_books_agree(ledger, teacher)
        full = questions is not None and bought + 1 > round(questions * spent)
        broke = calls is not None and teacher.calls + worst > round(calls * spent)
        assert full or broke or bought == 60
    assert questions is None or bought <= questions
    assert calls is None or teacher.calls <= calls


@pytest.mark.parametrize(("calls", "affordable"), [(1, 0), (2, 1), (3, 2), (4, 3), (9, 8), (10, 9)])
def test_a_pick_is_admitted_only_if_its_worst_case_fits(calls: int, affordable: int) -> None:
    """One call each in truth, two in the worst case: the last call of the budget is never risked."""
    rows, _, teacher = purchase(SometimesRevised((1,), worst=2), Budget(calls=calls))
    assert len(rows) == teacher.calls == affordable


def test_samples_count_as_calls() -> None:
    rows, _, teacher = purchase(FewShotCot(samples=3), Budget(calls=10))
    assert len(rows) == teacher.calls == 9


def test_both_limits_hold_at_once() -> None:
    assert len(purchase(FewShotCot(), Budget(questions=3, calls=100))[0]) == 3
    assert len(purchase(FewShotCot(), Budget(questions=100, calls=4))[0]) == 4


def test_order_is_kept_and_buying_stops_at_the_first_that_does_not_fit() -> None:
    @dataclass(frozen=True)
    class DearInTheMiddle(FewShotCot):
        def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
            return (5 if question.id == "3" else 1) * super().most_requests(question, context)

    rows, _, teacher = purchase(DearInTheMiddle(), Budget(calls=6), count=10)
    assert [row.question.id for row in rows] == teacher.asked == ["0", "1", "2"]
    picks = [Pick(Question(key, key)) for key in ("9", "1", "5")]
    meter = meter_of(CountingTeacher(), Ledger())
    bought = buy_in_rank_order(picks, FewShotCot(), CONTEXT, meter, Budget(questions=2), 1.0, 0)
    assert [one.question_id for one in bought] == ["9", "1"]
    assert [row.question.id for one in bought for row in one.annotations] == ["9", "1"]


def test_rounds_share_one_budget() -> None:
    ledger, teacher = Ledger(), CountingTeacher()
    budget = Budget(questions=10)
    first, _, _ = purchase(FewShotCot(), budget, share=0.3, ledger=ledger, teacher=teacher)
    again, _, _ = purchase(FewShotCot(), budget, share=0.3, already=3, ledger=ledger, teacher=teacher)
    rest, _, _ = purchase(FewShotCot(), budget, share=1.0, already=3, ledger=ledger, teacher=teacher)
    assert (len(first), len(again), len(rest)) == (3, 0, 7)
    assert teacher.asked == [str(i) for i in range(10)]
    assert ledger.charged["teacher"].questions == 10


@pytest.mark.parametrize("budget", [Budget(calls=10), Budget(questions=3)])
def test_an_annotator_that_spends_more_than_it_declared_is_stopped(budget: Budget) -> None:
    teacher = CountingTeacher()
    with pytest.raises(ValueError, match=r"cost 3 calls for question '0', but what it planned could cost 1 at most"):
        purchase(SometimesRevised((3,), worst=1), budget, teacher=teacher)
    assert teacher.asked == ["0"] * 3


def test_a_question_about_which_nothing_is_written_is_paid_all_the_same() -> None:
    @dataclass(frozen=True)
    class Silent(SometimesRevised):
        async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
            rows = await super().annotate(pick, context, ask)
            return rows if int(pick.question.id) % 2 else []

    ledger = Ledger()
    meter = meter_of(CountingTeacher(), ledger)
    bought = buy_in_rank_order(picks_of(9), Silent((1,), 1), CONTEXT, meter, Budget(questions=5), 1.0, 0)
    assert [one.question_id for one in bought] == ["0", "1", "2", "3", "4"]
    assert [row.question.id for one in bought for row in one.annotations] == ["1", "3"]
    assert ledger.charged["teacher"].questions == ledger.total().calls == 5


def test_an_exchange_is_kept_with_its_annotation() -> None:
    [row] = purchase(FewShotCot(), Budget(questions=1))[0]
    [exchange] = row.exchanges
    assert (exchange.request.role, exchange.request.question_id) == ("few_shot_cot", "0")
    assert exchange.reply.text == "r0 The answer is 0."
    assert row.evidence["confidence"] == 0.5


@pytest.mark.parametrize(
    "limits", [{}, {"questions": 0}, {"calls": 0}, {"questions": -1}, {"tokens": 0}, {"usd": 0.0}, {"usd": math.nan}]
)
def test_a_budget_that_buys_nothing_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"buys nothing|without a limit"):
        Budget(**limits)


# --- weights -------------------------------------------------------------------------------------------------------


def test_weights_and_reasons_are_set_by_id_alone() -> None:
    rows = [Annotation(Question(str(i), "t"), "rationale", "t", "r", "a") for i in range(3)]
    done = reweighted(rows, {rows[1].id: Weight(0.0, "wrong"), rows[2].id: Weight(0.5, "doubtful", {"votes": 2})})
    assert [(row.weight, row.reason) for row in done] == [(1.0, ""), (0.0, "wrong"), (0.5, "doubtful")]
    assert [row.question for row in done] == [row.question for row in rows]


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), float("inf")])
def test_weights_outside_zero_and_one_are_refused(weight: float) -> None:
    rows = [Annotation(Question("1", "t"), "rationale", "t", "r", "a")]
    with pytest.raises(ValueError, match="outside"):
        reweighted(rows, {rows[0].id: Weight(weight, "because")})


def test_together_adds_up_worst_cases_and_kinds() -> None:
    both = Together((FewShotCot(samples=2), SometimesRevised((1,), 3), HumanLabels()))
    assert sum(request.samples for request in both.most_requests(Question("1", "t"), CONTEXT)) == 5
    assert both.kinds == {"gold", "rationale"}
    assert both.requires().gold
    assert both.requires().teacher_roles == {"few_shot_cot"}
