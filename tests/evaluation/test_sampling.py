"""Several answers to a question: majority and pass rates by hand, and draws that depend on nothing but their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.errors import ConfigError
from benchmark.evaluation.sampling import SampledAnswers, draw, majority_is_correct, pass_probability, sizes
from benchmark.planning.checks import check_without_trace
from benchmark.records.record import CellFolder
from benchmark.student.student import Student
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Example, Question, Request, SampledAnswer
from tests.corridor.corridor_parts import miniature, run
from tests.records.small_records import complete_record
from tests.student.student_parts import shared_student, student_of

EXAMPLES = [Example(f"e{i}", f"{i}+{i}", str(2 * i)) for i in range(7)]
TASK = GeneratedAnswer()


def said(*answers: str | None, gold: str = "1", of: str = "e") -> tuple[SampledAnswer, ...]:
    return tuple(SampledAnswer(of, i, str(a), a, a == gold, False, 1) for i, a in enumerate(answers))


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        (("1", "2", "1"), True),
        (("2", "1", "2"), False),
        (("1", "2"), True),  # a tie: the one seen first
        (("2", "1"), False),
        (("2", "1", "1", "2"), False),
        ((None, None, "1"), True),  # what cannot be read has no vote
        ((None, None), False),
        ((), False),
    ],
)
def test_majorities(answers: tuple[str | None, ...], right: bool) -> None:
    assert majority_is_correct(said(*answers)) is right


@given(answers=st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=9))
def test_a_majority_is_the_first_of_the_most_frequent(answers: list[str | None]) -> None:
    readable = [answer for answer in answers if answer is not None]
    most = max((readable.count(answer) for answer in readable), default=0)
    first = next((answer for answer in readable if readable.count(answer) == most), None)
    assert majority_is_correct(said(*answers)) is (first == "1")


@given(correct=st.lists(st.booleans(), min_size=1, max_size=9), data=st.data())
def test_pass_at_m_is_the_mean_over_all_choices_of_m(correct: list[bool], data: st.DataObject) -> None:
    m = data.draw(st.integers(1, len(correct)))
    expected = fmean(any(subset) for subset in combinations(correct, m))
    assert pass_probability(len(correct), sum(correct), m) == pytest.approx(expected)


@pytest.mark.parametrize(("samples", "expected"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])])
def test_sizes(samples: int, expected: list[int]) -> None:
    assert sizes(samples) == expected


def test_both_are_means_over_questions() -> None:
    answers = SampledAnswers(
        (said("1", "2", "2", "2", "1"), said(None, "1", "1", "3", "3"), said("2", "2", "3", None, "4"))
    )
    assert answers.majority_at == pytest.approx({"1": 1 / 3, "2": 2 / 3, "4": 1 / 3, "5": 1 / 3})
    assert answers.pass_at == pytest.approx({"1": 4 / 15, "2": 2 * (1 - 3 / 10) / 3, "4": 2 / 3, "5": 2 / 3})
    assert len(answers.rows) == 15


def test_two_spellings_of_a_number_are_one_answer() -> None:
    question = EXAMPLES[0].without_gold()
    assert TASK.parse(question, "1,000.0") == TASK.parse(question, "1000") == TASK.parse(question, "+01000.")


# --- drawing ---------------------------------------------------------------------------------------------------------


def drawn(student: Student, examples: Sequence[Example] = EXAMPLES, form: Any = None, k: int = 3) -> SampledAnswers:
    return draw(student, examples, form or AnswerOnly(), TASK, k, temperature=1.0, max_new_tokens=6)


def reseeded(seed: int = 1, batch_size: int = 8) -> Student:
    shared = shared_student()
    return student_of(shared.network, shared.tokenizer, seed=seed, batch_size=batch_size)


def test_draws_do_not_depend_on_batches_order_or_how_many_are_drawn() -> None:
    expected = drawn(reseeded())
    assert drawn(reseeded(batch_size=2)) == expected
    assert drawn(reseeded(), EXAMPLES[::-1]).per_example == expected.per_example[::-1]
    assert tuple(answers[:2] for answers in expected.per_example) == drawn(reseeded(), k=2).per_example


def test_samples_and_seeds_differ() -> None:
    first, second = drawn(reseeded(1)), drawn(reseeded(2))
    assert [row.text for row in first.rows] != [row.text for row in second.rows]
    assert all(len({row.text for row in answers}) > 1 for answers in first.per_example)


def test_rows_are_in_the_order_of_examples_and_samples() -> None:
    rows = drawn(reseeded()).rows
    assert [(row.example_id, row.sample) for row in rows] == [(e.id, i) for e in EXAMPLES for i in range(3)]
    assert all(row.completion_tokens == 6 for row in rows if row.truncated)


class ThinkThenAnswer(AnswerOnly):
    """Two turns; the first says nothing, so that the second is asked the same by every sample."""

    answer_path = ("think", "answer")

    def request(self, question: Question, role: str, task: Any, given: str = "") -> Request:
        return Request(role, question.text, question.id, max_new_tokens=1 if role == "think" else 6)


def test_every_turn_of_a_path_is_drawn_anew_for_every_sample() -> None:
    answers = drawn(reseeded(), form=ThinkThenAnswer(), k=4)
    assert all(len({row.text for row in of_example}) > 1 for of_example in answers.per_example)
    assert all(1 < row.completion_tokens <= 7 for row in answers.rows if row.truncated)


def test_progress_counts_every_turn_of_every_sample() -> None:
    told: list[int] = []
    draw(reseeded(), EXAMPLES, ThinkThenAnswer(), TASK, 3, 1.0, advance=told.append)
    assert sum(told) == len(EXAMPLES) * 2 * 3


def test_what_is_drawn_is_read_as_the_format_reads() -> None:
    student = reseeded()
    for row in drawn(student, form=RationaleThenAnswer()).rows:
        example = next(example for example in EXAMPLES if example.id == row.example_id)
        assert row.answer == TASK.parse(example.without_gold(), RationaleThenAnswer().read(row.text)[1])
        assert row.correct == TASK.is_correct(example, row.answer)


# --- in a cell -------------------------------------------------------------------------------------------------------


def test_a_cell_keeps_every_sample_and_its_greedy_accuracy(tmp_path: Path) -> None:
    plain = run(miniature("method=answer_only"), tmp_path / "plain")
    ran = run(miniature("method=answer_only", "evaluation.samples=3"), tmp_path / "sampled")
    [test], [without] = ran.result["test"], plain.result["test"]
    assert test["value"] == without["value"]
    assert (without["majority_at"], without["pass_at"]) == (None, None)
    assert list(test["majority_at"]) == list(test["pass_at"]) == ["1", "2", "3"]
    assert plain.table("predictions") == ran.table("predictions")
    assert not (plain.folder / "samples.parquet").exists()
    rows = [SampledAnswer(**row) for row in ran.table("samples")]
    assert len(rows) == 3 * test["n"]
    again = SampledAnswers(tuple(tuple(rows[i : i + 3]) for i in range(0, len(rows), 3)))
    assert (again.majority_at, again.pass_at) == (test["majority_at"], test["pass_at"])
    assert test["pass_at"]["1"] == pytest.approx(fmean(row.correct for row in rows))
    assert ran.result["rounds"][-1]["computed"] == plain.result["rounds"][-1]["computed"]


def test_the_samples_are_among_the_hashed_files(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path, "cell")
    folder.write_samples(said("1", None))
    final = folder.finish(complete_record("cell"))
    assert '"samples.parquet": {' in (final / "record.json").read_text(encoding="utf-8")


def test_what_has_no_majority_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"evaluation.samples=4 draws answers .*option_likelihood"):
        check_without_trace(
            miniature("dataset=trait_choice", "evaluation.samples=4", "evaluation.option_likelihood=total")
        )
    check_without_trace(miniature("evaluation.samples=4"))


def test_graded_answers_have_no_majority() -> None:
    class Graded(GeneratedAnswer):
        metric = "closeness"

        def grade(self, example: Example, answer: str | None) -> float:
            return 0.5

    cell = miniature("evaluation.samples=4", "method=gold_answers")
    graded = replace(cell, dataset=replace(cast(Any, cell.dataset), task=Graded()))
    with pytest.raises(ConfigError, match=r"task generated_answer are graded; give evaluation.samples=0"):
        check_without_trace(graded)


@pytest.mark.parametrize("setting", ["samples=-1", "temperature=0", "temperature=-0.5"])
def test_impossible_settings_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        miniature(f"evaluation.{setting}")
