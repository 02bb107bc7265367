"""What parts ask the student between its fits: counted by a rehearsal, and shown as time and as a wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from benchmark.axes.format import RationaleThenAnswer
from benchmark.axes.schedule import GrowingRounds
from benchmark.cell.cell import Cell
from benchmark.cell.identity import identity
from benchmark.cell.names import names_of
from benchmark.contract import Context, Requirements
from benchmark.planning.estimate import Timing, expected_seconds
from benchmark.planning.plan_table import Listed, plan_table
from benchmark.planning.student_work import StudentWork, student_work
from benchmark.types import Annotation, Pick, Question, Stage, TrainingExample
from methods.elad.revision import StepwiseRevision
from methods.elad.schedule import UntilSufficient
from methods.elad.selection import ExplanationUncertainty, StepUncertainty
from tests.rehearsals.scripted import ScriptedTeacher, miniature

EXPLANATIONS = 3


def elad() -> Cell:
    return miniature(
        "budget.questions=18",
        teacher=ScriptedTeacher("tutor", lambda request, sample: "yes"),
        schedule=UntilSufficient(GrowingRounds(3, 1.0), 0.0, 2, 0.0),
        selection=ExplanationUncertainty(EXPLANATIONS, intra=StepUncertainty(way="now")),
        annotation=StepwiseRevision(3),
        format=RationaleThenAnswer(),
    )


def test_a_selection_that_scores_the_pool_is_counted_in_closed_form() -> None:
    """The pool of 40 loses six questions a round; the first round picks at random, and its annotator asks for texts."""
    cell = elad()
    steps = len(cell.dataset.exemplars[0].rationale.split(";"))
    work = student_work(cell)
    assert work.written == pytest.approx((34 + 28) * (EXPLANATIONS + steps) + 6)
    assert (work.scored, work.unknown) == (0, frozenset())


def test_the_plan_says_which_parts_wait_for_the_student() -> None:
    cell = elad()
    assert student_work(cell).waits == (("selection", 1), ("annotation", 0))
    shown = plan_table([Listed(names_of(cell), "", cell)])
    assert "on chain_sum: selection (from round 2 on) and annotation wait for the student" in shown


def test_who_asks_no_student_waits_for_nothing() -> None:
    cell = miniature()
    assert student_work(cell) == StudentWork()
    assert "wait" not in plan_table([Listed(names_of(cell), "", cell)])
    assert student_work(miniature("method=untrained")) == StudentWork()


@dataclass(frozen=True)
class Reflecting:
    """A curriculum of two stages, before each of which the student scores every example."""

    fails: bool = False

    def requires(self) -> Requirements:
        return Requirements()

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        if len(done) == 2:
            return None
        context.student.target_log_probabilities(examples)
        if self.fails:
            raise ValueError("it cannot use invented replies")
        return Stage(examples, 0.5)


@dataclass(frozen=True)
class Judging:
    """A weighting that has the student answer every new question twice."""

    def requires(self) -> Requirements:
        return Requirements()

    def weigh(
        self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context
    ) -> Mapping[str, tuple[float, str]]:
        requests = [context.format.request(row.question, "rationale_and_answer", context.task) for row in new]
        context.student.generate(requests, samples=2)
        return {}


def test_reflections_and_weightings_are_counted() -> None:
    cell = miniature(curriculum=Reflecting(), weighting=Judging(), format=RationaleThenAnswer())
    work = student_work(cell)
    assert (work.written, work.scored) == (2 * 12, 2 * 12)
    assert work.line == "weighting and curriculum wait for the student"


@dataclass(frozen=True)
class Spread:
    """A selection that embeds the pool, and asks how likely each question is to be solved."""

    def requires(self) -> Requirements:
        return Requirements(student_roles=frozenset({"rationale_and_answer"}))

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        points = context.student.embeddings([question.text for question in pool])
        assert len({tuple(point) for point in points.tolist()}) == len(pool)
        asked = [context.format.request(question, "rationale_and_answer", context.task) for question in pool]
        replies = context.student.generate([replace(each, continuations=("yes", "no")) for each in asked])
        assert all(reply.continuation_log_probabilities for [reply] in replies)
        [[written]] = context.student.generate(asked[:1])
        assert written.log_probability is not None
        return [Pick(question) for question in pool]


def test_embeddings_and_continuations_are_texts_that_are_read() -> None:
    work = student_work(miniature(selection=Spread(), format=RationaleThenAnswer()))
    assert (work.scored, work.written) == (pytest.approx(40 + 40 * 2), pytest.approx(1))
    assert (work.unknown, work.waits) == (frozenset(), (("selection", 0),))


def test_a_part_that_fails_in_rehearsal_is_not_known() -> None:
    work = student_work(miniature(curriculum=Reflecting(fails=True), format=RationaleThenAnswer()))
    assert work.unknown == {"curriculum"}
    assert work.waits == (("curriculum", 0),)


def test_their_time_is_part_of_the_plans() -> None:
    cell = miniature()
    known = [Timing("other", identity(cell), 50.0, steps=100, training_seconds=20.0, seconds_per_answer=0.5)]
    plain = expected_seconds(cell, known)
    per_example = 20.0 / (100 * cell.optimization.batch_size)
    asked = expected_seconds(cell, known, StudentWork(written=40, scored=30))
    assert asked.value - plain.value == pytest.approx(40 * 0.5 + 30 * per_example / 3)
    assert expected_seconds(cell, known, StudentWork(unknown=frozenset({"selection"}))).unknown
    same = [Timing(cell.method.name, identity(cell), 50.0, 100, 20.0, 0.5)]
    assert expected_seconds(cell, same, StudentWork(written=40)).value == 50.0  # a finished cell had it all
