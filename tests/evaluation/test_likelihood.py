"""Multiple choice by likelihood: what is scored, what is chosen, what is written of it, and where it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from analysis.output.tables import build_table
from analysis.records.load import load_records
from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.contract import Format
from benchmark.errors import ConfigError
from benchmark.evaluation.likelihood import choose, scores, written_roles
from benchmark.planning.checks import check_without_trace
from benchmark.student.options import OptionRequest
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Example, Question, Reply, Request
from methods.step_by_step import StepByStepFormat
from tests.corridor.corridor_parts import miniature as miniature_cell
from tests.corridor.corridor_parts import run

TASK = MultipleChoice()
WHERE = Example("a", "Where?", "sea", ("sky", "sea", "river bank"))
WHO = Example("b", "Who?", "Ann", ("Bob", "Ann"))
ANSWERS = {"sky": (-1.0, -1.0), "sea": (-0.5, -2.0), "river bank": (-1.0, -0.5, -1.5), "Bob": (-3.0,), "Ann": (-3.0,)}


@dataclass
class FakeStudent:
    """Writes by prompt, scores options by their text, and remembers what it was asked."""

    script: dict[str, Reply] = field(default_factory=dict)
    wrote: list[Request] = field(default_factory=list)
    scored: list[OptionRequest] = field(default_factory=list)

    def generate(
        self, requests: Sequence[Request], key: str = "", advance: Any = lambda rows: None
    ) -> list[list[Reply]]:
        self.wrote += requests
        advance(len(requests))
        return [[self.script[request.prompt]] for request in requests]

    def option_log_probabilities(self, requests: Sequence[OptionRequest], advance: Any = lambda rows: None) -> Any:
        self.scored += requests
        advance(len(requests))
        return [tuple(ANSWERS[option] for option in request.options) for request in requests]


@dataclass(frozen=True)
class ThinkThenAnswer(AnswerOnly):
    """Two turns, of which the second is the answer alone, behind words that begin it."""

    answer_path = ("think", "answer")
    roles = frozenset({"think", "answer"})

    def request(self, question: Question, role: str, task: Any, given: str = "") -> Request:
        if role == "think":
            return Request(role, f"think {question.text}", question.id)
        return Request(role, f"answer {question.text} after {given}", question.id, prefix="It is ")


def chosen(student: FakeStudent, form: Format, examples: Sequence[Example] = (WHERE, WHO), by: Any = "total") -> Any:
    return choose(cast(Student, student), examples, form, TASK, by)


def test_an_answer_alone_is_scored_behind_the_prompt_and_nothing_is_written() -> None:
    for form in (AnswerOnly(), StepByStepFormat()):
        student = FakeStudent()
        evaluation = chosen(student, form)
        assert student.wrote == []
        asked = form.request(WHERE.without_gold(), "answer", TASK)
        assert student.scored[0] == OptionRequest("a", asked.prompt, "", WHERE.choices or ())
        assert evaluation.completion_tokens_per_answer == 0
        assert evaluation.answers_by == "option likelihood (total)"


def test_options_stand_behind_the_students_own_reasoning() -> None:
    """The last marker ends the reasoning, as it does in reading; a marker that was never reached is put there."""
    student = FakeStudent(
        {
            TASK.show(WHERE.without_gold()): Reply("#1 fish swim#sky", "stop", 9, 7),
            TASK.show(WHO.without_gold()): Reply("Ann or", "length", 8, 16),
        }
    )
    evaluation = chosen(student, RationaleThenAnswer())
    assert [request.begun for request in student.scored] == ["#1 fish swim#", "Ann or#"]
    a, b = evaluation.predictions
    assert (a.text, a.rationale, a.truncated, a.completion_tokens) == ("#1 fish swim#sky", "#1 fish swim", False, 7)
    assert (b.text, b.rationale, b.truncated, b.completion_tokens) == ("Ann or", "Ann or", True, 16)
    assert (evaluation.truncated_answers, evaluation.unparsed_answers) == (1, 0)


def test_a_path_of_two_turns_writes_the_first_and_scores_the_second() -> None:
    student = FakeStudent({"think Where?": Reply("of fish", "stop", 5, 2), "think Who?": Reply("", "stop", 5, 0)})
    evaluation = chosen(student, ThinkThenAnswer())
    assert [request.role for request in student.wrote] == ["think", "think"]
    assert [(r.prompt, r.begun) for r in student.scored] == [
        ("answer Where? after of fish", "It is "),
        ("answer Who? after ", "It is "),
    ]
    assert [(p.text, p.rationale) for p in evaluation.predictions] == [("", "of fish"), ("", "")]


@pytest.mark.parametrize(
    ("by", "expected", "answer"),
    [
        ("total", (-2.0, -2.5, -3.0), "sky"),
        ("per_token", (-1.0, -1.25, -1.0), "sky"),  # a tie with the last: the first option
        ("per_character", (-2 / 3, -2.5 / 3, -0.3), "river bank"),
    ],
)
def test_what_a_sum_is_divided_by_decides(by: Any, expected: tuple[float, ...], answer: str) -> None:
    choices = WHERE.choices or ()
    assert scores([ANSWERS[option] for option in choices], choices, by) == pytest.approx(expected)
    [a, b] = chosen(FakeStudent(), AnswerOnly(), by=by).predictions
    assert (a.answer, a.flexible_answer, a.correct, a.flexible_correct) == (answer, answer, False, False)
    assert a.option_scores == pytest.approx(expected)
    assert (b.answer, b.correct) == ("Bob", False)  # both are equally likely


def test_the_order_of_options_moves_no_answer_but_a_ties() -> None:
    turned = replace(WHERE, choices=(WHERE.choices or ())[::-1])
    for by in ("total", "per_character"):
        [first], [last] = (chosen(FakeStudent(), AnswerOnly(), [row], by).predictions for row in (WHERE, turned))
        assert first.answer == last.answer
        assert first.option_scores == last.option_scores[::-1]


def test_an_empty_option_has_a_score() -> None:
    assert scores([(-1.0,)], [""], "per_character") == (-1.0,)


def test_without_options_or_a_place_for_them_it_is_refused() -> None:
    with pytest.raises(ValueError, match="question 'c' has no options"):
        chosen(FakeStudent(), AnswerOnly(), [Example("c", "1+1", "2")])

    class AnswerFirst:
        answer_path = ("answer",)

    with pytest.raises(ValueError, match="AnswerFirst has no `before_answer`"):
        chosen(FakeStudent(), cast(Any, AnswerFirst()))


def test_the_roles_in_which_a_student_writes() -> None:
    assert written_roles(AnswerOnly()) == ()
    assert written_roles(ThinkThenAnswer()) == ("think",)
    assert written_roles(RationaleThenAnswer()) == ("rationale_and_answer",)


# --- in a cell -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["answer_only", "rationale_then_answer"])
def test_a_cell_answers_by_likelihood_at_no_cost_to_the_method(method: str, tmp_path: Path) -> None:
    setting = "evaluation.option_likelihood=per_character"
    cell = miniature_cell("dataset=trait_choice", f"method={method}", setting)
    ran = run(cell, tmp_path)
    [test] = ran.result["test"]
    assert test["answers_by"] == "option likelihood (per_character)"
    assert (test["completion_tokens_per_answer"] > 0) is (method == "rationale_then_answer")
    rows = ran.table("predictions")
    for row in rows:
        assert len(row["option_scores"]) > 1
        assert all(math.isfinite(score) and score < 0 for score in row["option_scores"])
        assert row["answer"] == row["flexible_answer"]
    assert test["value"] == sum(row["correct"] for row in rows) / len(rows)
    assert ran.result["counters"]["unparsed_answers"] == 0
    generated = run(miniature_cell("dataset=trait_choice", f"method={method}"), tmp_path / "generated")
    assert [log.computed for log in ran.history] == [log.computed for log in generated.history]


def test_a_sweep_over_two_ways_gives_two_rows(command: Any, miniature: Any, results: Any) -> None:
    done = command(
        "-m",
        *miniature,
        "dataset=trait_choice",
        "method=gold_answers",
        "evaluation.option_likelihood=total,per_character",
        f"results_dir={results.path}",
    )
    assert done.status == 0, done.err
    rows = [row for block in build_table(load_records(results.path)).blocks for row in block.rows]
    assert {row.name for row in rows if row.role == "method"} == {
        "gold_answers [evaluation.option_likelihood=total]",
        "gold_answers [evaluation.option_likelihood=per_character]",
    }
    assert {row.num_seeds for row in rows if row.role == "method"} == {1}
    assert {record["test"][0]["answers_by"] for record in results.records()} == {
        "option likelihood (total)",
        "option likelihood (per_character)",
    }


def test_by_generation_there_are_no_option_scores(tmp_path: Path) -> None:
    ran = run(miniature_cell("dataset=trait_choice", "method=answer_only"), tmp_path)
    assert ran.result["test"][0]["answers_by"] == "generation"
    assert all(row["option_scores"] is None for row in ran.table("predictions"))


def test_a_task_without_options_is_refused_before_any_work() -> None:
    cell = miniature_cell("evaluation.option_likelihood=total", "dataset=chain_sum")
    with pytest.raises(ConfigError, match=r"chain_sum.*task generated_answer.*evaluation.option_likelihood=null"):
        check_without_trace(cell)
    check_without_trace(miniature_cell("evaluation.option_likelihood=total", "dataset=trait_choice"))


def test_a_format_that_cannot_place_options_is_refused_before_any_work() -> None:
    class AnswerFirst:
        answer_path, roles = ("answer",), frozenset({"answer"})
        request, read, examples, terms = AnswerOnly.request, AnswerOnly.read, AnswerOnly.examples, AnswerOnly.terms
        requires = AnswerOnly.requires

    cell = miniature_cell("evaluation.option_likelihood=total", "dataset=trait_choice", format=AnswerFirst())
    with pytest.raises(ConfigError, match="AnswerFirst has no `before_answer`"):
        check_without_trace(cell)
