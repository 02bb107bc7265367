"""ELAD over rounds and over odd texts: what its budget, its stops, its first round and its separators promise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from benchmark.contract import STUDENT, Context
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Annotation, Pick, Question, Reply, Request, Round, RoundLog
from methods.elad.revision import SingleCallRevision, StepwiseRevision
from methods.elad.selection import ExplanationUncertainty, StepUncertainty
from tests.corridor.corridor_parts import Rounds
from tests.methods.test_elad import Cast, log_of, tutor, until_approved
from tests.methods.test_elad_page import Adder, Room, context, pool
from tests.rehearsals.scripted import number_of

# --- rounds and budget -----------------------------------------------------------------------------------------------


def test_the_budget_ends_the_last_batch_and_the_run(tmp_path: Path) -> None:
    """T11: 25 questions in batches of 10 are 10, 10 and 5."""
    cast_ = Cast(schedule=cast(Any, Rounds((0.4, 0.4, 0.2))), overrides=("budget.questions=25",))
    ran = cast_.run(tmp_path)
    assert [log.annotated for log in ran.history] == [10, 20, 25]
    assert len({request.question_id for request in cast_.teacher.books.asked}) == 25
    assert len({row.question.id for row in cast_.rows.rows}) == len(cast_.rows.rows) == 25


def test_replies_that_cannot_be_read_are_paid_for_and_counted(tmp_path: Path) -> None:
    def mumbles(question_id: str) -> bool:
        return number_of(question_id) % 3 == 0

    def says(request: Request, sample: int) -> str:
        if request.role == "few_shot_cot":
            return "1+1=2. The answer is 2."
        return "Hm." if mumbles(request.question_id) else tutor(request, sample)

    cast_ = Cast()
    cast_.teacher.says = says
    ran = cast_.run(tmp_path)
    scratch = [row for row in cast_.rows.rows if "from_scratch" in row.evidence]
    assert {row.question.id for row in scratch} == {
        row.question.id for row in cast_.rows.rows if mumbles(row.question.id)
    }
    assert 0 < len(scratch) < len(cast_.rows.rows)
    notes = [log.notes for log in ran.history]
    assert sum(each.get("from_scratch", 0) for each in notes) == len(scratch)
    assert sum(each.get("unread_replies", 0) for each in notes) == 2 * len(scratch)
    assert sum(each.get("checked", 0) for each in notes) == len(cast_.rows.rows) - len(scratch)
    assert ran.history[-1].charged["teacher"].calls == len(cast_.teacher.books.asked)
    assert all([one.request.role for one in row.exchanges][-3:] == ["verify"] * 2 + ["few_shot_cot"] for row in scratch)


@pytest.mark.parametrize("restart", [True, False])
def test_the_first_round_asks_the_student_nothing(restart: bool) -> None:
    student = Adder()
    picks = ExplanationUncertainty().rank(pool(20), context(student, round=Round(0, 0.2, restart=restart, warmup=True)))
    assert student.asked == []
    assert len(picks) == 20
    assert all(not pick.evidence for pick in picks)


def test_a_gain_of_nothing_can_be_switched_off() -> None:
    falling = [log_of(accuracy=accuracy) for accuracy in (0.5, 0.4, 0.3)]
    assert until_approved(9, 0.0).next_round(falling) is not None
    assert until_approved(9, 0.0).least_gain == 0


def test_a_random_first_batch_without_a_flaw_is_enough() -> None:
    """T13, at its shortest: a student that is right from the start costs one batch."""
    first = RoundLog(Round(0, 0.25, warmup=True), 3, {}, {}, {}, {"accuracy": 1.0}, {"checked": 20, "flawed": 0})
    assert until_approved(4, 0.0).next_round([first]) is None


# --- soft readings, through the probe --------------------------------------------------------------------------------


@dataclass
class Believer:
    """After n steps it holds the beliefs number n about the answers `a` and `b`."""

    beliefs: Sequence[tuple[float, float]]
    asked: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        self.asked += requests
        return [self._replies(request, samples) for request in requests]

    def _replies(self, request: Request, samples: int) -> list[Reply]:
        begun = request.prefix.removesuffix("#")
        belief = self.beliefs[len(GeneratedAnswer().steps(begun))]
        if request.continuations:
            return [Reply("", continuation_log_probabilities=tuple(float(np.log(p)) for p in belief))]
        answers = ["1"] * round(samples * belief[0]) + ["2"] * round(samples * belief[1])
        return [Reply(answer if request.prefix.endswith("#") else f"#{answer}") for answer in answers]


BELIEFS = ((0.5, 0.5), (0.9, 0.1), (0.9, 0.1), (0.2, 0.8))


def test_steps_move_beliefs_about_options_by_their_divergence() -> None:
    student = Believer(BELIEFS)
    closed = Question("q", "which?", ("a", "b"))
    [moves] = StepUncertainty(soft=True, way="now").moves([(closed, "x;y;z#a")], context(student))
    expected = [jensenshannon(*pair, base=2) ** 2 for pair in pairwise(BELIEFS)]
    assert moves == pytest.approx(expected, abs=1e-12)
    assert moves[1] == pytest.approx(0, abs=1e-12)
    assert len(student.asked) == 4


@pytest.mark.parametrize("way", ["finish", "now"])
def test_steps_move_sampled_answers_by_the_chance_that_two_differ(way: Any) -> None:
    uncertainty = StepUncertainty(soft=True, way=way, samples=10)
    [moves] = uncertainty.moves([(Question("q", "which?"), "x;y;z#1")], context(Believer(BELIEFS)))
    expected = [1 - (a * c + b * d) for (a, b), (c, d) in pairwise(BELIEFS)]
    assert moves == pytest.approx(expected)


def test_an_explanation_without_steps_moves_nothing() -> None:
    question = Question("q", "1+2")
    uncertainty = StepUncertainty()
    assert uncertainty.moves([(question, "#3"), (question, "")], context()) == [[], []]
    assert uncertainty.of([[], []]) == 0


# --- texts in other forms --------------------------------------------------------------------------------------------


@dataclass
class Replies:
    """A teacher that accepts so many steps, and then finishes in its own words."""

    accepts: int
    finish: str
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        assert who != STUDENT
        self.asked.append(request)
        if request.role == "verify":
            return [Reply("Yes" if len(self.asked) <= self.accepts else "**No**, it does not.")]
        if request.role == "correct":
            return [Reply(f"Step {self.accepts + 1} is wrong.\n{self.finish}")]
        return [Reply(self.finish)]


FORMS = {
    "semicolons": ("one;two;three", ";"),
    "spaced semicolons": ("one ; two ; three", " ; "),
    "lines": ("Step 1: one\nStep 2: two\nStep 3: three", "\n"),
    "sentences": ("One is it. Two is next. Three ends it.", " "),
    "sentences in lines": ("One is it.\n\nTwo is next.\n\nThree ends it.", "\n\n"),
}


def revision(annotator: Any, said: str, teacher: Replies) -> Annotation:
    pick = Pick(Question("q-0", "1+1"), 1.0, {"explanations": [said]})
    [row] = asyncio.run(annotator.annotate(pick, cast(Context, Room(Adder())), teacher))
    return row


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("annotator", [StepwiseRevision(), SingleCallRevision()], ids=["stepwise", "single call"])
def test_what_stands_before_the_flaw_stays_in_any_form(annotator: Any, form: str, position: int) -> None:
    """The teacher's words stand behind the gap that the student put there, and nothing is separated twice."""
    text, gap = FORMS[form]
    steps = GeneratedAnswer().steps(text)
    row = revision(annotator, f"{text}#9", Replies(position, "right;better The answer is 8."))
    before = "".join(steps[:position])
    assert row.rationale == f"{before}{gap if position else ''}right;better"
    assert text.startswith(before)
    assert (row.answer, row.evidence["flaws"], row.evidence["kept_steps"]) == ("8", [position], position)


@pytest.mark.parametrize(("said", "expected"), [("one.#9", "one;right"), ("one#9", "one;right"), ("#9", "right")])
def test_behind_the_last_step_the_teacher_goes_on_with_a_separator(said: str, expected: str) -> None:
    """A full stop that ended the explanation goes; it would stand before a semicolon."""
    steps = len(GeneratedAnswer().steps(said.removesuffix("#9")))
    row = revision(StepwiseRevision(), said, Replies(steps, "; right The answer is 8."))
    assert (row.rationale, row.answer, row.evidence["flaws"]) == (expected, "8", [steps])


def test_an_explanation_without_an_end_costs_no_more_than_the_most_steps() -> None:
    teacher = Replies(99, "right The answer is 8.")
    row = revision(StepwiseRevision(most_steps=3), f"{';'.join('abcdefghij')}#9", teacher)
    assert [request.role for request in teacher.asked] == ["verify"] * 3 + ["finish"]
    assert (row.rationale, row.evidence["flaws"], row.evidence["kept_steps"]) == ("a;b;c;right", [3], 3)


@pytest.mark.parametrize(
    ("head", "flaws"), [("Every step is right.", []), ("Step 2 is missing.", [1]), ("Step 9 is wrong.", [2])]
)
def test_heads_of_a_correction(head: str, flaws: list[int]) -> None:
    """A number behind the last step stands for what follows it: the answer."""

    async def ask(who: str, request: Request, samples: int = 1) -> list[Reply]:
        return [Reply(f"{head}\nright The answer is 8.")]

    row = revision(SingleCallRevision(), "one;two#9", cast(Any, ask))
    assert row.evidence["flaws"] == flaws
    assert row.answer == ("8" if flaws else "9")
    assert str(row.rationale).startswith("one;two" if flaws != [1] else "one;right")
