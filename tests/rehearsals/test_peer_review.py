"""Peer review through the corridor: three teachers with books and prices of their own, marks, and two tasks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from benchmark.axes.weighting import UniformWeighting
from benchmark.cell.cell import Cell
from benchmark.cell.identity import identity
from benchmark.contract import STUDENT
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.planning.worst_case import WorstCases
from benchmark.teachers.panel import Panel
from benchmark.teachers.simulated import SimulatedTeacher
from benchmark.teachers.teacher import Price
from benchmark.types import Request, Usage
from tests.cases import cases
from tests.corridor.corridor_parts import Rounds, Watched
from tests.rehearsals.peer_review import AcceptedByPeers, Committee, RationaleAndFeedback, mark_in
from tests.rehearsals.scripted import (
    Fate,
    HeardAnnotator,
    Ran,
    Says,
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

PRICES = {"first": Price(1.0, 2.0), "second": Price(3.0, 30.0), "third": Price(0.0, 0.5)}
SMALL = ("budget.questions=4", "dataset.pool_size=8", "dataset.validation_size=2", "dataset.test_size=2")


# --- the cast --------------------------------------------------------------------------------------------------------


def teacher_says(name: str, own_words: bool = True) -> Says:
    """A teacher that writes in its own words or not, and marks the others by the question's number."""

    def says(request: Request, sample: int) -> str:
        number = number_of(request.question_id)
        if request.role == "review":
            return f"Reads well. Mark: {1 + (number + len(name)) % 5}" if number % 7 else "I would rather not say."
        if request.role == "feedback":
            return f"{name}: look at the first step."
        shown = request.prompt.rpartition("Q: ")[2].partition("\n")[0]
        opening = f"{name} says " if own_words else ""
        return f"{opening}{';'.join(true_steps(shown))} The answer is {true_answer(shown)}."

    return says


def student_says(request: Request, sample: int) -> str:
    """Passes the exam on even questions."""
    return f"1+1=2#{int(true_answer(request.prompt)) + number_of(request.question_id) % 2}"


@dataclass
class Cast:
    """A committee and a student; without a script the tiny student sits the exam."""

    fate: Fate = field(default_factory=Fate)
    overrides: tuple[str, ...] = ()
    scripted: bool = True
    own_words: bool = True
    uniform: bool = False

    def __post_init__(self) -> None:
        self.teachers = {
            name: ScriptedTeacher(name, teacher_says(name, self.own_words), price, self.fate)
            for name, price in PRICES.items()
        }
        self.student = Script(student_says if self.scripted else None, fate=self.fate)
        self.rows = HeardAnnotator(Committee())
        self.curriculum = Watched()

    def cell(self) -> Cell:
        return miniature(
            *self.overrides,
            teacher=Panel("committee", self.teachers),
            schedule=Rounds((0.5, 0.5)),
            annotation=self.rows,
            weighting=UniformWeighting() if self.uniform else AcceptedByPeers(),
            curriculum=self.curriculum,
            format=RationaleAndFeedback(0.25),
        )

    def run(self, folder: Path) -> Ran:
        check(self.cell())
        self.kept_before = kept_in(folder)
        return run(self.cell(), folder, self.student)


def assert_nothing_kept_is_asked_again(casts: list[Cast]) -> None:
    """No teacher hears of a question that is bought in any later attempt."""
    for cast_ in casts:
        asked = {request.question_id for one in cast_.teachers.values() for request in one.books.asked}
        assert not cast_.kept_before & asked


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cast, Ran]:
    cast_ = Cast()
    return cast_, cast_.run(tmp_path_factory.mktemp("fair"))


# --- costs -----------------------------------------------------------------------------------------------------------


def exchanges(cast_: Cast, who: str) -> list[Request]:
    return [one.request for row in cast_.rows.rows for one in row.exchanges if one.source == who]


def test_every_teachers_own_count_is_its_exchanges_and_together_they_are_the_ledger(fair: tuple[Cast, Ran]) -> None:
    cast_, ran = fair
    for name, teacher in cast_.teachers.items():
        assert Counter(teacher.books.asked) == Counter(exchanges(cast_, name))
        assert {request.role for request in teacher.books.asked} == {"few_shot_cot", "review", "feedback"}
    counted = sum((teacher.books.answered for teacher in cast_.teachers.values()), Usage())
    booked = ran.history[-1].charged["teacher"]
    assert (booked.calls, booked.prompt_tokens, booked.completion_tokens) == (
        counted.calls,
        counted.prompt_tokens,
        counted.completion_tokens,
    )
    assert set(ran.history[-1].charged) == {"teacher"}


def test_every_member_has_its_own_price(fair: tuple[Cast, Ran]) -> None:
    cast_, ran = fair
    by_hand = sum(
        (teacher.books.answered.prompt_tokens * prompt + teacher.books.answered.completion_tokens * completion) / 1e6
        for teacher, (prompt, completion) in zip(
            cast_.teachers.values(), [(1.0, 2.0), (3.0, 30.0), (0.0, 0.5)], strict=True
        )
    )
    assert ran.result["rounds"][-1]["charged"]["teacher"]["usd"] == pytest.approx(by_hand, rel=1e-12)


def test_a_passed_exam_costs_nine_calls_and_a_failed_one_twelve(fair: tuple[Cast, Ran]) -> None:
    cast_, ran = fair
    asked = Counter(request.question_id for teacher in cast_.teachers.values() for request in teacher.books.asked)
    assert len(asked) == ran.history[-1].annotated == 12
    assert {number_of(question_id) % 2: calls for question_id, calls in asked.items()} == {0: 9, 1: 12}
    assert all(calls == 9 + 3 * (number_of(question_id) % 2) for question_id, calls in asked.items())
    cell = cast_.cell()
    worst, pool = WorstCases(cell, cell.dataset.load()), cell.dataset.load().pool
    assert {worst.of(row.without_gold()).calls for row in pool} == {12}
    assert ran.history[-1].computed["student/annotation"].calls == 12


def test_one_prompt_to_three_teachers_is_three_requests(fair: tuple[Cast, Ran]) -> None:
    cast_, _ = fair
    writing = [
        [request for request in t.books.asked if request.role == "few_shot_cot"] for t in cast_.teachers.values()
    ]
    assert writing[0] == writing[1] == writing[2]
    assert len(writing[0]) == 12


def test_one_prompt_twice_to_the_same_teacher_is_one_request(tmp_path: Path) -> None:
    """Two colleagues who write the same rationale are marked together: three reviews in all instead of six."""
    cast_ = Cast(own_words=False)
    ran = cast_.run(tmp_path)
    reviews = [
        request for teacher in cast_.teachers.values() for request in teacher.books.asked if request.role == "review"
    ]
    assert len(reviews) == 12 * 3
    assert ran.history[-1].charged["teacher"].calls == sum(t.books.answered.calls for t in cast_.teachers.values())
    assert len(exchanges(cast_, "first")) == len(cast_.teachers["first"].books.asked) + 12


@pytest.mark.parametrize("calls", [12, 23, 24, 35])
def test_no_budget_of_calls_is_exceeded(tmp_path: Path, calls: int) -> None:
    cast_ = Cast(overrides=("budget.questions=null", f"budget.calls={2 * calls}"))
    ran = cast_.run(tmp_path)
    charged = [log.charged["teacher"].calls for log in ran.history]
    assert charged[0] <= calls
    assert charged[1] <= 2 * calls
    assert charged[1] > 2 * calls - 12


# --- marks and tasks -------------------------------------------------------------------------------------------------


def test_nobody_marks_its_own_work_and_reviewers_see_the_gold_answer(fair: tuple[Cast, Ran]) -> None:
    cast_, ran = fair
    pool = {row.id: row for row in ran.cell_run.cell.dataset.load().pool}
    for row in cast_.rows.rows:
        if row.kind == "rationale":
            assert set(row.evidence["marks"]) == set(PRICES) - {row.source}
            author, *reviewers = row.exchanges
            assert (author.source, {one.source for one in reviewers}) == (row.source, set(row.evidence["marks"]))
            for one in reviewers:
                assert f"Right answer: {pool[row.question.id].answer}\n" in one.request.prompt
                assert f"Explanation: {row.rationale}\n" in one.request.prompt
                assert mark_in(one.reply.text) == row.evidence["marks"][one.source]
    assert ran.result["uses_gold"] is True


def test_feedback_is_on_what_the_student_got_wrong(fair: tuple[Cast, Ran]) -> None:
    cast_, _ = fair
    sources: dict[str, set[str]] = {row.question.id: set() for row in cast_.rows.rows}
    for row in cast_.rows.rows:
        if row.kind == "feedback":
            sources[row.question.id].add(row.source)
            exam, written = row.exchanges
            assert (exam.source, exam.reply.text) == (STUDENT, row.evidence["sheet"])
            assert f"Solution: {row.evidence['sheet']}\n" in written.request.prompt
    assert all(found == (set(PRICES) if number_of(key) % 2 else set()) for key, found in sources.items())


def test_the_mean_valid_mark_decides_and_the_marks_are_the_reason(fair: tuple[Cast, Ran]) -> None:
    cast_, ran = fair
    verdicts = set()
    for row in ran.table("annotations"):
        if row["kind"] == "feedback":
            assert (row["weight"], row["reason"]) == (1.0, "")
            continue
        marks = json.loads(row["evidence"])["marks"]
        valid = [mark for mark in marks.values() if mark]
        assert row["weight"] == float(bool(valid) and sum(valid) / len(valid) > 3)
        assert row["reason"] == ", ".join(f"{name}: {marks[name] or 'no mark'}" for name in sorted(marks))
        verdicts.add((row["weight"], bool(valid)))
    assert verdicts == {(1.0, True), (0.0, True), (0.0, False)}
    assert ran.result["counters"]["dropped_annotations"] == sum(r["weight"] == 0 for r in ran.table("annotations"))
    assert len(cast_.rows.rows) == len(ran.table("annotations"))


@pytest.mark.parametrize(
    ("marks", "weight"),
    [
        ({"a": 3, "b": 3}, 0.0),
        ({"a": 3, "b": 4}, 1.0),
        ({"a": None, "b": 4}, 1.0),
        ({"a": None, "b": 3}, 0.0),
        ({"a": None, "b": None}, 0.0),
        ({"a": 1, "b": 5}, 0.0),
    ],
)
def test_a_mark_must_be_above_the_threshold(marks: dict[str, int | None], weight: float) -> None:
    assert AcceptedByPeers()._verdict(marks).value == weight


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("Mark: 4", 4),
        ("mark: 1.", 1),
        ("Mark: 6", None),
        ("Mark: 0", None),
        ("Mark: 45", None),
        ("4", None),
        ("", None),
    ],
)
def test_only_a_digit_from_one_to_five_is_a_mark(text: str, mark: int | None) -> None:
    assert mark_in(text) == mark


def test_two_tasks_are_two_terms_and_a_question_is_one_group(fair: tuple[Cast, Ran]) -> None:
    cast_, ran = fair
    terms = RationaleAndFeedback(0.25).terms()
    assert {(task, term.coefficient) for term in terms.values() for task in term.tasks} == {
        ("rationale_and_answer", 0.75),
        ("feedback", 0.25),
    }
    examples = cast_.curriculum.log[-1]["examples"]
    assert {example.task for example in examples} == {"rationale_and_answer", "feedback"}
    kept = {row["id"]: row for row in ran.table("annotations") if row["weight"] > 0}
    assert sorted(of for example in examples for of in example.annotations) == sorted(kept)
    for example in examples:
        [row] = [kept[of] for of in example.annotations]
        assert example.group == row["question_id"]
        if example.task == "feedback":
            sheet = json.loads(row["evidence"])["sheet"]
            assert example.prompt == f"{row['question']}\nWrong: {sheet}"
            assert [(span.name, span.text) for span in example.target] == [("feedback", row["rationale"])]


def test_evidence_survives_json(fair: tuple[Cast, Ran]) -> None:
    assert_survives_json(fair[0].rows.rows)


# --- panels in the configuration -------------------------------------------------------------------------------------

MEMBER = """
  {name}:
    _target_: benchmark.teachers.simulated.SimulatedTeacher
    name: {name}
    wrong_step_rate: {rate}
    price:
      usd_per_million_prompt_tokens: {usd}
"""
AXES = {
    "annotation/committee": "_target_: tests.rehearsals.peer_review.Committee\nsize: 3\n",
    "weighting/accepted_by_peers": "_target_: tests.rehearsals.peer_review.AcceptedByPeers\nabove: 3.0\n",
    "format/rationale_and_feedback": """
        _target_: tests.rehearsals.peer_review.RationaleAndFeedback
        alpha: 0.5
        plain:
          answer_marker: "#"
        """,
    "method/peer_review": """
        # @package _global_
        defaults:
          - override /annotation: committee
          - override /weighting: accepted_by_peers
          - override /format: rationale_and_feedback
        method: peer_review
        """,
}


def panel(*names: str) -> str:
    members = "".join(MEMBER.format(name=name, rate=0.1 * i, usd=1.0 + i) for i, name in enumerate(names))
    return f"_target_: benchmark.teachers.panel.Panel\nname: committee\nmembers:{members}"


@pytest.fixture
def composed(
    plugin: Callable[..., str], compose: Callable[..., DictConfig], read: Callable[..., Cell]
) -> Callable[..., Cell]:
    """A cell of a panel with these members, through Hydra, with the method's files in a folder of their own."""

    def cell_of(*overrides: str, members: tuple[str, ...] = ("ann", "bob", "cyd")) -> Cell:
        folder = plugin({}, {**AXES, "teacher/committee": panel(*members)})
        return read(compose([folder, "teacher=committee", *overrides]))

    return cell_of


def test_a_panel_composes_and_its_members_settings_can_be_overridden(composed: Callable[..., Cell]) -> None:
    cell = composed("teacher.members.bob.wrong_step_rate=0.5")
    assert isinstance(cell.teacher, Panel)
    teachers: dict[str, object] = dict(cell.teachers)
    assert teachers == {
        "ann": SimulatedTeacher("ann", wrong_step_rate=0.0, price=Price(1.0)),
        "bob": SimulatedTeacher("bob", wrong_step_rate=0.5, price=Price(2.0)),
        "cyd": SimulatedTeacher("cyd", wrong_step_rate=0.2, price=Price(3.0)),
    }
    assert list(cell.teachers) == ["ann", "bob", "cyd"]
    check(cell)  # a method that asks one teacher takes the first


def test_a_panels_member_matters_to_the_cells_identity_and_its_price_does_not(composed: Callable[..., Cell]) -> None:
    plain = identity(composed())
    assert identity(composed("teacher.members.cyd.price.usd_per_million_prompt_tokens=9")) == plain
    assert identity(composed("teacher.members.cyd.wrong_step_rate=0.3")) != plain


def test_an_unknown_setting_of_a_member_is_refused(composed: Callable[..., Cell]) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.members\.bob\.wrong_rate: SimulatedTeacher has no such setting"):
        composed("+teacher.members.bob.wrong_rate=0.5")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ("{}", r"teacher\.members={}: .* _target_"),
        ("{ann: simulated}", r"teacher\.members={'ann': 'simulated'}: .* _target_"),
        ("{ann: {name: ann}}", r"teacher\.members\.ann={'name': 'ann'}: .* _target_"),
        ("{ann: {_target_: benchmark.teachers.teacher.Price}}", r"teacher\.members\.ann: Price is not a Teacher"),
    ],
)
def test_members_that_are_no_teachers_are_refused(
    plugin: Callable[..., str], compose: Callable[..., DictConfig], read: Callable[..., Cell], members: str, said: str
) -> None:
    yaml = f"_target_: benchmark.teachers.panel.Panel\nname: committee\nmembers: {members}\n"
    folder = plugin({}, {"teacher/committee": yaml})
    with pytest.raises(ConfigError, match=said):
        read(compose([folder, "teacher=committee"]))


def test_too_few_teachers_are_refused(composed: Callable[..., Cell]) -> None:
    with pytest.raises(ConfigError, match="it asks 3 different teachers; teacher=committee is 2"):
        check(composed("method=peer_review", members=("ann", "bob")))
    with pytest.raises(ConfigError) as refused:
        check(composed("method=peer_review"))
    assert "different teachers" not in str(refused.value)  # enough of them, but these know one prompt only
    for name in ("ann", "bob", "cyd"):
        assert f"it asks the teacher in the role feedback, review; teacher={name} cannot answer" in str(refused.value)
    check(
        composed("method=peer_review", "annotation=few_shot_cot", "format=rationale_then_answer", "weighting=uniform")
    )


def test_a_panel_runs_from_the_command_line(
    plugin: Callable[..., str], command: Callable[..., Any], results: Any
) -> None:
    folder = plugin({}, {"teacher/committee": panel("ann", "bob", "cyd")})
    small = ("dataset.pool_size=20", "budget.questions=8", "optimization.max_steps=2", "student.max_new_tokens=8")
    done = command(folder, "teacher=committee", "trainer.save_student=false", *small)
    assert done.status == 0, done.err
    record = results.record()
    assert record["teacher"] == "committee"
    [cell_id] = results.cells()
    assert set(results.table(cell_id, "annotations")["source"]) == {"ann"}


# --- repeated and interrupted ----------------------------------------------------------------------------------------


def life(scripted: bool, folder: Path, fate: Fate, casts: list[Cast] | None = None) -> Ran:
    cast_ = Cast(fate, SMALL, scripted, uniform=True)
    if casts is not None:
        casts.append(cast_)
    return cast_.run(folder)


def test_two_runs_are_equal(fair: tuple[Cast, Ran], tmp_path: Path) -> None:
    assert_same(fair[1], Cast().run(tmp_path / "again"))
    assert_same(*(life(False, tmp_path / name, Fate()) for name in ("one", "other")))


def test_a_death_in_every_call_changes_nothing(tmp_path: Path) -> None:
    """Several teachers are asked at once, so that a death also ends what the others were about to say."""
    whole, calls = calls_of(partial(life, False), tmp_path / "whole")
    casts: list[Cast] = []
    ran, deaths = live_through(partial(life, False, casts=casts), tmp_path / "killed", Fate(always=True))
    assert calls > deaths > calls / 8  # up to six calls about each question in flight end in one death
    assert_same(whole, ran)
    assert_nothing_kept_is_asked_again(casts)
    assert len(casts[-1].kept_before) > 3


@pytest.mark.parametrize("many", cases([4, 15], default=(4,)))
def test_one_death_changes_nothing(many: int, tmp_path: Path) -> None:
    whole, calls = calls_of(partial(life, True), tmp_path / "whole")
    for at in spread(int(0.8 * calls), many):  # how many batches there are depends on what comes first
        casts: list[Cast] = []
        ran, deaths = live_through(partial(life, True, casts=casts), tmp_path / str(at), Fate(at=at))
        assert deaths == 1
        assert_same(whole, ran)
        assert_nothing_kept_is_asked_again(casts)
