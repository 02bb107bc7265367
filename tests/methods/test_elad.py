"""ELAD through the corridor: what it costs to the call, what it keeps to the letter, and when it stops."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.axes.schedule import GrowingRounds
from benchmark.axes.selection import RandomSelection
from benchmark.contract import STUDENT, Context, PlanContext, Selection
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Pick, Question, Reply, Request, Round, RoundLog
from methods.elad.revision import StepwiseRevision
from methods.elad.schedule import UntilSufficient
from methods.elad.selection import ExplanationUncertainty, StepUncertainty
from tests.cases import cases
from tests.rehearsals.scripted import (
    Fate,
    HeardAnnotator,
    HeardSelection,
    OtherGold,
    Ran,
    Script,
    ScriptedTeacher,
    assert_same,
    assert_survives_json,
    calls_of,
    kept_in,
    live_through,
    miniature,
    number_of,
    run,
    spread,
    true_answer,
    true_steps,
)

PATCHES, EXPLANATIONS = 3, 3
NOW = StepUncertainty(way="now")
SHOWN = re.compile(r"Question: (.*)\nAccepted: (.*?)\n(?:Next|Rejected): (.*)\n", re.DOTALL)


def until_approved(rounds: int, tolerated_flaws: float) -> UntilSufficient:
    """Equal rounds, a random one first, until the teacher finds hardly a flaw."""
    return UntilSufficient(GrowingRounds(rounds, 1.0), 0.0, 2, tolerated_flaws)


# --- the cast --------------------------------------------------------------------------------------------------------


def tutor(request: Request, sample: int) -> str:
    """A teacher that knows the sums: accepts exactly the line that comes next."""
    found = SHOWN.search(request.prompt)
    assert found
    shown, accepted, line = found.groups()
    missing = true_steps(shown)[len(accepted.split(";")) if accepted else 0 :]
    conclusion = f"The answer is {true_answer(shown)}."
    following = [*missing, conclusion]
    if request.role == "verify":
        return "Yes, it does." if line == following[0] else "No."
    return following[0] if request.role == "fix" else f"{';'.join(missing)} {conclusion}"


def slips_at(question_id: str, steps: int) -> list[int]:
    """Which steps the pupil gets wrong wherever it writes them: none, the first, the first two, or all."""
    return list(range(steps))[: (0, 1, 2, steps)[number_of(question_id) % 4]]


def pupil(request: Request, sample: int) -> str:
    """A student that slips at set steps, by another amount in every sample, and answers rightly in its head."""
    shown, begun = request.prompt, request.prefix.removesuffix("#")
    steps = begun.split(";") if begun else []
    total = int(steps[-1].rpartition("=")[2]) if steps else int(shown[0])
    terms = re.findall(r"[+-]\d", shown)
    slips = slips_at(request.question_id, len(terms))
    if request.role == "answer_given":
        return str(total + sum(map(int, terms[len(steps) :])))
    written = ""
    for number in range(len(steps), len(terms)):
        result = total + int(terms[number]) + (1 + sample) * (number in slips)
        written += f"{';' if number else ''}{total}{terms[number]}={result}"
        total = result
    return f"{written}#{total}"


def calls_for(question_id: str, shown: str) -> int:
    """The closed form: every step and the answer once, one call more for every patch; the fourth slip ends it."""
    steps = len(true_steps(shown))
    slips = len(slips_at(question_id, steps))
    if slips <= PATCHES:
        return steps + 1 + slips
    return (PATCHES + 1) + PATCHES + 1  # rejections, patches, the rewrite


@dataclass
class Cast:
    """The parts and models of one ELAD cell."""

    fate: Fate = field(default_factory=Fate)
    selection: Selection = field(default_factory=lambda: ExplanationUncertainty(EXPLANATIONS, intra=NOW))
    schedule: UntilSufficient = field(default_factory=lambda: until_approved(3, 0))
    overrides: tuple[str, ...] = ("budget.questions=18",)
    dataset: Any = None
    scripted: bool = True

    def __post_init__(self) -> None:
        self.teacher = ScriptedTeacher("tutor", tutor, fate=self.fate)
        self.student = Script(pupil if self.scripted else None, fate=self.fate)
        self.picks = HeardSelection(self.selection)
        self.rows = HeardAnnotator(StepwiseRevision(PATCHES))

    def run(self, folder: Path) -> Ran:
        cell = miniature(
            *self.overrides,
            teacher=self.teacher,
            schedule=self.schedule,
            selection=self.picks,
            annotation=self.rows,
            format=RationaleThenAnswer(),
        )
        check(cell)
        self.kept_before = kept_in(folder)
        return run(replace(cell, dataset=self.dataset or cell.dataset), folder, self.student)


def assert_nothing_kept_is_asked_again(casts: list[Cast]) -> None:
    """The teacher hears of a question that is bought in no later attempt."""
    for cast_ in casts:
        assert not cast_.kept_before & {request.question_id for request in cast_.teacher.books.asked}


@pytest.fixture(scope="module")
def elad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cast, Ran]:
    cast_ = Cast()
    return cast_, cast_.run(tmp_path_factory.mktemp("elad"))


# --- costs -----------------------------------------------------------------------------------------------------------


def test_the_ledger_is_the_teachers_own_count(elad: tuple[Cast, Ran]) -> None:
    cast_, ran = elad
    booked = ran.history[-1].charged["teacher"]
    answered = cast_.teacher.books.answered
    assert booked.usd == pytest.approx(answered.usd)
    assert replace(booked, questions=0, usd=answered.usd) == answered
    assert (booked.questions, booked.calls) == (18, len(cast_.teacher.books.asked))
    exchanges = [one for row in cast_.rows.rows for one in row.exchanges if one.source == "tutor"]
    assert Counter(one.request for one in exchanges) == Counter(cast_.teacher.books.asked)


def test_a_question_costs_its_closed_form(elad: tuple[Cast, Ran]) -> None:
    cast_, _ = elad
    asked = [request.question_id for request in cast_.teacher.books.asked]
    forms = set()
    for row in cast_.rows.rows:
        expected = calls_for(row.question.id, row.question.text)
        assert asked.count(row.question.id) == expected <= planned_calls(StepwiseRevision(PATCHES), row.question)
        forms.add(number_of(row.question.id) % 4)
    assert len(forms) == 4  # flawless, one slip, two slips, slips everywhere


def test_the_students_work_is_booked_where_it_was_done(elad: tuple[Cast, Ran]) -> None:
    cast_, ran = elad
    computed = [log.computed for log in ran.history]
    assert "student/selection" not in computed[0]  # the warm-up round is random
    in_selection = [h for h in cast_.student.heard if h.samples > 1 or h.requests[0].role == "answer_given"]
    explained = [len(heard.requests) * heard.samples for heard in in_selection if heard.samples > 1]
    assert explained == [34 * EXPLANATIONS, 28 * EXPLANATIONS]
    assert computed[-1]["student/selection"].calls == sum(len(h.requests) * h.samples for h in in_selection)
    continued = sum(one.source == STUDENT for row in cast_.rows.rows for one in row.exchanges)
    assert computed[-1]["student/annotation"].calls == continued > 0


@pytest.mark.parametrize("calls", [8, 15, 40, 41])
def test_no_budget_of_calls_is_exceeded(tmp_path: Path, calls: int) -> None:
    most = planned_calls(StepwiseRevision(PATCHES))
    overrides = ("budget.questions=null", f"budget.calls={calls + most}")
    cast_ = Cast(overrides=overrides, schedule=until_approved(1, 0), selection=RandomSelection())
    cast_.run(tmp_path)
    assert calls < len(cast_.teacher.books.asked) <= calls + most  # what is left could not have paid a worst case


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_accepted_steps_stay_as_the_student_wrote_them_and_the_result_is_right(elad: tuple[Cast, Ran]) -> None:
    cast_, _ = elad
    for row in cast_.rows.rows:
        said = row.evidence["said"].partition("#")[0].split(";")
        kept = (row.rationale or "").split(";")
        flaws = row.evidence["flaws"]
        first = flaws[0] if flaws else len(said)
        assert kept[:first] == said[:first]
        assert (kept, row.answer) == (true_steps(row.question.text), true_answer(row.question.text))
        slips = slips_at(row.question.id, len(said))
        assert flaws == slips[: PATCHES + 1]
        assert row.source == ("tutor" if slips else STUDENT)
        ended_by_the_tutor = any(one.request.role == "finish" for one in row.exchanges)
        assert ended_by_the_tutor == (len(slips) > PATCHES)


def test_the_student_goes_on_from_the_patched_beginning(elad: tuple[Cast, Ran]) -> None:
    cast_, _ = elad
    for row in cast_.rows.rows:
        patches = [one for one in row.exchanges if one.request.role == "fix"]
        begun = [one.request.prefix for one in row.exchanges if one.source == STUDENT and one.request.prefix]
        steps = true_steps(row.question.text)
        expected = [";".join(steps[: flaw + 1]) for flaw in row.evidence["flaws"][:PATCHES]]
        assert begun == expected
        assert len(patches) == len(expected)


def test_explanations_travel_in_the_evidence_and_are_not_written_twice(elad: tuple[Cast, Ran]) -> None:
    cast_, ran = elad
    warm, later = ran.history[0].annotated, cast_.rows.rows[ran.history[0].annotated :]
    beginnings = [request for request in cast_.student.requests if not request.prefix and request.temperature == 0]
    assert [request.question_id for request in beginnings] == [row.question.id for row in cast_.rows.rows[:warm]]
    for row in later:
        assert row.evidence["said"] == row.evidence["explanations"][0]
        assert len(row.evidence["explanations"]) == EXPLANATIONS
    greedy = [(h.weights, request) for h in cast_.student.heard for request in h.requests if request.temperature == 0]
    assert len(greedy) == len(set(greedy))


def test_sound_explanations_are_certain_and_flawed_ones_are_picked_first(elad: tuple[Cast, Ran]) -> None:
    cast_, _ = elad
    for pick in cast_.picks.picks[40:]:  # behind the warm-up round's
        sound = number_of(pick.question.id) % 4 == 0
        assert (pick.evidence["intra"] == 0) == (pick.evidence["inter"] == 0) == sound
    second = cast_.picks.picks[40:74]
    kinds = [number_of(pick.question.id) % 4 for pick in second]
    assert set(kinds[-kinds.count(0) :]) == {0}
    steps = [len(true_steps(pick.question.text)) for pick in second]
    everywhere = [len(slips_at(pick.question.id, m)) == m for pick, m in zip(second, steps, strict=True)]
    assert all(everywhere[: sum(everywhere)])  # where every step moves the answer
    assert 0 < sum(everywhere) < len(second)
    assert [pick.score for pick in second] == sorted((pick.score for pick in second), reverse=True)  # type: ignore[type-var]


def test_evidence_survives_json(elad: tuple[Cast, Ran]) -> None:
    cast_, ran = elad
    assert_survives_json(cast_.picks.picks)
    assert_survives_json(cast_.rows.rows)
    written = [json.loads(row["evidence"]) for row in ran.table("annotations")]
    assert written == [row.evidence for row in cast_.rows.rows]


def test_it_reads_no_gold(elad: tuple[Cast, Ran], tmp_path: Path) -> None:
    _, ran = elad
    assert ran.result["uses_gold"] is False
    other = Cast(dataset=OtherGold(ran.cell_run.cell.dataset))
    assert_same(ran, other.run(tmp_path))
    ours, theirs = (one.load().pool for one in (ran.cell_run.cell.dataset, other.dataset))
    assert sum(a.answer != b.answer for a, b in zip(ours, theirs, strict=True)) > 20


# --- other combinations ----------------------------------------------------------------------------------------------


def test_it_composes_with_a_selection_that_leaves_no_evidence(tmp_path: Path) -> None:
    cast_ = Cast(selection=RandomSelection())
    ran = cast_.run(tmp_path)
    first = [request for request in cast_.student.requests if not request.prefix]
    assert [request.question_id for request in first] == [row.question.id for row in cast_.rows.rows]
    assert "student/selection" not in ran.history[-1].computed
    assert [row["answer"] for row in ran.table("annotations")] == [
        true_answer(row.question.text) for row in cast_.rows.rows
    ]


def notes_of(ran: Ran) -> list[dict[str, float]]:
    return [dict(log.notes) for log in ran.history]


def test_it_stops_early_once_the_teacher_finds_hardly_a_flaw(tmp_path: Path) -> None:
    flawless = Cast(schedule=until_approved(4, 0.1))
    flawless.student.says = lambda request, sample: pupil(replace(request, question_id="q-0"), sample)
    ran = flawless.run(tmp_path / "flawless")
    [notes] = notes_of(ran)
    assert (notes["checked"], notes["flawed"]) == (4, 0)
    assert (
        notes["survived"] == notes["written"] == sum(len(true_steps(row.question.text)) for row in flawless.rows.rows)
    )
    assert len(flawless.rows.rows) == 4  # a quarter of the budget; the rest is saved
    tolerant = Cast(schedule=until_approved(4, 1)).run(tmp_path / "tolerant")
    assert len(tolerant.history) == 1
    assert tolerant.history[0].notes["flawed"] > 0


def log_of(flawed: float | None = None, accuracy: float = 0.0) -> RoundLog:
    notes = {} if flawed is None else {"checked": 20, "flawed": flawed}
    return RoundLog(Round(0, 0.25), 3, {}, {}, {}, {"accuracy": accuracy}, notes)


def test_a_batch_with_hardly_a_flaw_ends_it() -> None:
    schedule = until_approved(4, 0.1)
    assert schedule.next_round(()) == Round(0, 0.25, warmup=True)
    assert schedule.next_round([log_of(3)]) == Round(1, 0.25)
    assert schedule.next_round([log_of(3), log_of(2)]) is None
    assert schedule.next_round([log_of(2), log_of(3)]) == Round(2, 0.25)
    assert schedule.next_round([log_of(9)] * 4) is None
    assert schedule.next_round([log_of()]) == Round(1, 0.25)  # no notes of a revision


def test_rounds_in_a_row_without_a_gain_end_it() -> None:
    schedule = UntilSufficient(GrowingRounds(9, 1.0), least_gain=0.005, patience=2)

    def after(*accuracies: float) -> Round | None:
        return schedule.next_round([log_of(accuracy=accuracy) for accuracy in accuracies])

    assert after(0.5, 0.504) is not None
    assert after(0.5, 0.504, 0.508) is None  # each of two rounds gained less than half a point
    assert after(0.5, 0.504, 0.51) is not None
    assert after(0.3, 0.5, 0.504) is not None
    assert after(0.3, 0.5, 0.5, 0.49) is None
    assert UntilSufficient(GrowingRounds(9, 1.0), least_gain=0.0).next_round([log_of()] * 5) is not None


def test_a_student_that_only_chooses_may_train_less_but_not_one_that_may_be_the_last() -> None:
    rounds = GrowingRounds(3, 1.0, early_steps_share=0.5)
    assert [rounds.next_round([log_of()] * n).steps_share for n in range(3)] == [0.5, 0.5, None]  # type: ignore[union-attr]
    first = UntilSufficient(rounds).next_round(())
    assert first is not None
    assert first.steps_share is None
    with pytest.raises(ValueError, match=r"rounds.restart=false continues one student"):
        UntilSufficient(GrowingRounds(3, 1.0, restart=False))


@dataclass
class SmallContext:
    """As much of a context as the annotator uses."""

    teachers: tuple[str, ...] = ("teacher",)
    task: GeneratedAnswer = field(default_factory=GeneratedAnswer)
    format: RationaleThenAnswer = field(default_factory=RationaleThenAnswer)

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: str) -> Request:
        return Request(role, f"{role} {question.text} {variables}", question.id)

    def note(self, **counts: float) -> None:
        assert counts.get("checked", 0) + counts.get("from_scratch", 0) == 1


def planned_calls(annotator: StepwiseRevision, question: Question | None = None) -> int:
    """Requests that may all be sent for one question; of options that exclude each other, one."""
    question = question or Question("q", "1+1+1")
    planned = annotator.most_requests(question, cast(PlanContext, SmallContext()))
    return sum(not each.branch for each in planned) + len({each.branch.partition("/")[0] for each in planned} - {""})


LINES = ("", "1+1=2", "1+1=2;2+2=4;4+4=8", "1;1;1;1;1;1;1;1#1", "#", "2#", "The answer is 4.", "1 The answer is 4.")


@dataclass
class Chaos:
    """A student and a teacher that say anything; the teacher more or less often yes, and more or less readably."""

    seed: int
    asked: set[Request] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.seed)
        self.yes_rate = self.chance.random()
        self.unread_rate = {role: self.chance.choice([0.0, 0.0, 0.2, 1.0]) for role in ("verify", "fix", "finish")}

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        if who == STUDENT:
            return [Reply(";" + LINES[self.chance.integers(6)])]
        self.asked.add(request)  # a request that is repeated costs nothing
        if self.chance.random() < self.unread_rate.get(request.role, 0.0):
            return [Reply("")]
        if request.role == "verify":
            return [Reply("yes" if self.chance.random() < self.yes_rate else "no")]
        return [Reply(LINES[1 + self.chance.integers(len(LINES) - 1)])]


def test_whatever_teacher_and_student_say_the_worst_case_holds() -> None:
    annotator, pick = StepwiseRevision(patches=2, most_steps=4), Pick(Question("q", "1+1+1"))
    costs, from_scratch = set(), 0
    for seed in range(1500):
        chaos = Chaos(seed)
        [row] = asyncio.run(annotator.annotate(pick, cast(Context, SmallContext()), chaos))
        assert row.kind in annotator.kinds
        costs.add(len(chaos.asked))
        from_scratch += "from_scratch" in row.evidence
    assert planned_calls(annotator) - 1 <= max(costs) <= planned_calls(annotator)
    assert 100 < from_scratch < 1000


# --- repeated and interrupted ----------------------------------------------------------------------------------------


SMALL = ("budget.questions=6", "dataset.pool_size=16", "dataset.validation_size=2", "dataset.test_size=2")


def life(scripted: bool, folder: Path, fate: Fate, casts: list[Cast] | None = None) -> Ran:
    cast_ = Cast(fate, overrides=SMALL, scripted=scripted)
    if casts is not None:
        casts.append(cast_)
    return cast_.run(folder)


@pytest.mark.parametrize("scripted", [True, False], ids=["scripted student", "tiny student"])
def test_two_runs_are_equal(tmp_path: Path, scripted: bool) -> None:
    assert_same(life(scripted, tmp_path / "one", Fate()), life(scripted, tmp_path / "other", Fate()))


def test_a_death_in_every_call_changes_nothing(tmp_path: Path) -> None:
    """With the tiny student, whose words hang on its weights: it must be the same one again after every death."""
    whole, calls = calls_of(partial(life, False), tmp_path / "whole")
    casts: list[Cast] = []
    ran, deaths = live_through(partial(life, False, casts=casts), tmp_path / "killed", Fate(always=True))
    assert deaths > 0.4 * calls > 20  # questions in flight die together
    assert_same(whole, ran)
    assert_nothing_kept_is_asked_again(casts)
    assert len(casts[-1].kept_before) > 3


@pytest.mark.parametrize("many", cases([4, 12], default=(4,)))
def test_one_death_changes_nothing(many: int, tmp_path: Path) -> None:
    whole, calls = calls_of(partial(life, True), tmp_path / "whole")
    for at in spread(int(0.8 * calls), many):  # how many batches there are depends on what comes first
        casts: list[Cast] = []
        ran, deaths = live_through(partial(life, True, casts=casts), tmp_path / str(at), Fate(at=at))
        assert deaths == 1
        assert_same(whole, ran)
        assert_nothing_kept_is_asked_again(casts)


def test_a_format_that_cannot_be_asked_for_early_answers_is_refused() -> None:
    teacher = ScriptedTeacher("tutor", tutor)
    cell = miniature(teacher=teacher, selection=ExplanationUncertainty(), format=AnswerOnly())
    with pytest.raises(ConfigError, match="role rationale_and_answer; this format knows answer"):
        check(cell)
