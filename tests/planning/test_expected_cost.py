"""The plan against what a scripted cell is really charged: either/or requests, and rounds that ask differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmark.axes.annotation import FewShotCot, Together
from benchmark.axes.format import RationaleThenAnswer
from benchmark.axes.schedule import GrowingRounds
from benchmark.buying.branches import dearest
from benchmark.cell.cell import Cell
from benchmark.contract import STUDENT, AskModels, Context, PlanContext, Requirements
from benchmark.planning.amounts import Estimate
from benchmark.planning.expected_cost import admitted_questions, expected_cost, expected_rounds
from benchmark.teachers.ledger import Budget
from benchmark.types import Annotation, Pick, PlannedRequest, Question, Request, Round, RoundLog, Usage
from methods.elad.schedule import UntilSufficient
from tests.rehearsals.scripted import ScriptedTeacher, miniature, number_of, run, true_answer, true_steps


def planned(branch: str, calls: int = 1, role: str = "any") -> tuple[PlannedRequest, Usage]:
    return PlannedRequest("tutor", Request(role, "", "q"), branch=branch), Usage(calls=calls)


@pytest.mark.parametrize(
    ("branches", "calls"),
    [
        ([("", 1), ("", 2)], 3),
        ([("a", 1), ("b", 5)], 5),
        ([("", 1), ("a", 2), ("a", 3), ("b", 4)], 6),
        ([("x/a", 1), ("x/b", 5), ("y/a", 2), ("y/b", 3)], 8),
        ([("0/x/a", 1), ("0/x/b", 2), ("1/x/a", 4)], 6),
        ([], 0),
    ],
)
def test_of_each_choice_the_dearest_option_counts(branches: list[tuple[str, int]], calls: int) -> None:
    assert dearest([planned(*each) for each in branches]).calls == calls


def test_each_unit_has_its_own_dearest_option() -> None:
    many, long = planned("many")[0], planned("long")[0]
    assert dearest([(many, Usage(5, 10)), (long, Usage(1, 90))]) == Usage(5, 90)


@dataclass(frozen=True)
class WarmThenRevise(FewShotCot):
    """Writes in a warm-up round; later it judges the student, and praises it or mends what it wrote, by two calls."""

    def requires(self) -> Requirements:
        roles = frozenset({"few_shot_cot", "judge", "praise", "mend"})
        return Requirements(teacher_roles=roles, student_roles=frozenset({"rationale_and_answer"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        if context.round.warmup:
            return super().most_requests(question, context)
        tutor, [judge, praise, mend, again] = context.teachers[0], self._requests(question)
        return [
            PlannedRequest(tutor, judge),
            PlannedRequest(tutor, praise, branch="sound"),
            PlannedRequest(tutor, mend, branch="flawed"),
            PlannedRequest(tutor, again, branch="flawed"),
        ]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        if context.round.warmup:
            return await super().annotate(pick, context, ask)
        tutor, [judge, praise, mend, again] = context.teachers[0], self._requests(pick.question)
        await ask(STUDENT, context.format.request(pick.question, "rationale_and_answer", context.task))
        [verdict] = await ask(tutor, judge)
        for request in [praise] if verdict.text == "sound" else [mend, again]:
            [reply] = await ask(tutor, request)
        rationale, _, answer = reply.text.partition("#")
        return [Annotation(pick.question, "rationale", tutor, rationale, answer)]

    def _requests(self, question: Question) -> list[Request]:
        names = (("judge", ""), ("praise", ""), ("mend", ""), ("mend", "again"))
        return [Request(role, f"{role} {more} {question.text}", question.id) for role, more in names]


def cell_of(sound: int, *overrides: str) -> Cell:
    """A cell of three rounds, whose student is sound about every `sound`-th question; 0: about none."""

    def says(request: Request, sample: int) -> str:
        shown = request.prompt.rpartition(" ")[2]
        if request.role == "few_shot_cot":
            return "1+2=3 The answer is 3."
        if request.role == "judge":
            return "sound" if sound and number_of(request.question_id) % sound == 0 else "flawed"
        return f"{';'.join(true_steps(shown))}#{true_answer(shown)}"

    return miniature(
        "budget.questions=18",
        *overrides,
        teacher=ScriptedTeacher("tutor", says),
        schedule=UntilSufficient(GrowingRounds(3, 1.0), 0.0, 2, 0.0),
        annotation=WarmThenRevise(),
        format=RationaleThenAnswer(),
    )


MOST = 6 * 1 + 12 * 3
"""Six questions of the warm-up round by one call each; twelve by the verdict and the dearer option."""


@pytest.mark.parametrize(("sound", "calls"), [(0, MOST), (1, 6 + 12 * 2), (2, None)])
def test_a_cell_that_asks_either_this_or_that_is_charged_no_more_than_its_plan(
    tmp_path: Path, sound: int, calls: int | None
) -> None:
    cell = cell_of(sound)
    cost = expected_cost(cell)
    assert cost is not None
    assert cost.calls == Estimate(MOST, at_most=True)  # a rehearsal of the first round alone would promise 18
    charged = run(cell, tmp_path).history[-1].charged["teacher"]
    assert charged.questions == 18
    assert charged.calls <= cost.calls.value
    assert calls in (None, charged.calls)


def test_each_round_has_its_own_cost() -> None:
    rounds = expected_rounds(cell_of(0))
    assert [(each.questions, each.cost.calls) for each in rounds] == [
        (6, Estimate(6)), (6, Estimate(18, at_most=True)), (6, Estimate(18, at_most=True)),
    ]  # fmt: skip


def test_a_budget_in_calls_holds_for_the_dearer_option(tmp_path: Path) -> None:
    """Six calls a round: six cheap questions, then two by two; the sum of both options would admit one by one."""
    cell = cell_of(0, "budget.questions=null", "budget.calls=18")
    assert [each.questions for each in expected_rounds(cell)] == [6, 2, 2]
    charged = run(cell, tmp_path).history[-1].charged["teacher"]
    assert (charged.calls, charged.questions) == (18, 10)


def test_annotators_that_stand_together_choose_each_for_itself() -> None:
    cell = cell_of(0)
    both = replace(cell, method=replace(cell.method, annotation=Together((WarmThenRevise(), WarmThenRevise()))))
    calls = [each.cost.calls.value for each in expected_rounds(both)]
    assert calls == [6, 36, 36]  # in the warm-up round both ask the same, which is paid once; later each may need 3


@dataclass(frozen=True)
class CheapOrDear(FewShotCot):
    """Asks once more where the first reply does not please it; a rehearsal's reply always does."""

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        [first] = super().most_requests(question, context)
        more = [replace(first.request, prefix=begun) for begun in ("a", "b")]
        return [first, *(PlannedRequest(first.who, each, branch="displeased") for each in more)]


def test_options_without_the_student_are_planned_by_the_dearest() -> None:
    cell = miniature("budget.questions=10", annotation=CheapOrDear())
    cost = expected_cost(cell)
    assert cost is not None
    assert cost.calls == Estimate(30, at_most=True)


@dataclass(frozen=True)
class AsLongAsItHelps:
    """Nobody knows its rounds before they have happened."""

    def requires(self) -> Requirements:
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        if not history:
            return Round(0, 0.5, warmup=True)
        return Round(1, 0.5) if history[-1].notes["helps"] else None


def test_rounds_that_nobody_knows_cost_at_most_the_whole_budget() -> None:
    cell = cell_of(0)
    unknown = replace(cell, method=replace(cell.method, schedule=AsLongAsItHelps()))
    cost = expected_cost(unknown)
    assert cost is not None
    assert cost.calls == Estimate(9 * 1 + 9 * 3, at_most=True)


def test_a_share_of_a_budget_admits_what_earlier_rounds_left() -> None:
    most = {"questions": 1, "calls": 3}
    budget = Budget(calls=30)
    assert admitted_questions(budget, 99, most, most, {"calls": 12}, share=0.5) == 1
    assert admitted_questions(budget, 99, most, most, {"calls": 15}, share=1.0) == 5
    assert admitted_questions(Budget(questions=9), 99, most, most, {"questions": 3}, share=2 / 3) == 3
