"""The student explains test questions after the test, or long afterwards: no part of its score, and booked apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.console.progress import Silent
from benchmark.errors import ConfigError
from benchmark.evaluation.explanation_text import count_named, names, sentences, words
from benchmark.evaluation.explanations import rouge_warning
from benchmark.explain_finished import explain_finished
from benchmark.planning.checks import check_without_trace
from benchmark.records.record_parts import TestScore
from benchmark.run_cell import run_cell
from benchmark.types import Example
from tests.corridor.corridor_parts import miniature, run

TRAITS = ("method=multitask", "dataset=trait_choice", "student.max_new_tokens=24", "optimization.max_steps=20")
EXPLAINED = "evaluation.explanation_questions=5"


def finished(folder: Path, *overrides: str) -> Path:
    cell = replace(miniature(*TRAITS, "trainer.save_student=true", *overrides), results_dir=str(folder))
    outcome = run_cell(cell, Silent())
    assert outcome.status == "complete", outcome.message
    return folder / outcome.cell_id


def record(cell: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cell / "record.json").read_text(encoding="utf-8"))
    return found


def test_explanations_change_no_score_and_no_bill(tmp_path: Path) -> None:
    plain, explained = (
        run(miniature(*TRAITS), tmp_path / "plain"),
        run(miniature(*TRAITS, EXPLAINED), tmp_path / "more"),
    )
    assert explained.table("predictions") == plain.table("predictions")
    assert not (plain.folder / "explanations.parquet").exists()
    for name in ("rounds", "test"):
        one, other = (json.loads(json.dumps(ran.result[name])) for ran in (plain, explained))
        for each in (*one, *other):
            for time in TestScore.TIMES:
                each.pop(time, None)
        assert one == other, name
    assert not any("explanations" in name for name in plain.result["counters"])
    assert explained.result["seconds_by_phase"]["explanations"] > 0


def test_a_row_holds_what_was_asked_and_written(tmp_path: Path) -> None:
    ran = run(miniature(*TRAITS, EXPLAINED), tmp_path)
    rows, predictions = ran.table("explanations"), ran.table("predictions")
    examples = {row.id: row for row in ran.cell_run.splits.test.open()}
    assert [row["example_id"] for row in rows] == [row["example_id"] for row in predictions[:5]]
    for row, prediction in zip(rows, predictions, strict=False):
        assert row["prompt"].startswith("[explain] ")
        assert prediction["prompt"].startswith("[predict] ")
        assert (row["answer"], row["correct"]) == (prediction["answer"], prediction["correct"])
        assert 0 < row["completion_tokens"] <= 24
        assert row["explanation"] == row["text"].strip()
        example = examples[row["example_id"]]
        wrong = [choice for choice in example.choices or () if choice != example.answer]
        assert (row["question"], tuple(row["choices"])) == (example.question, example.choices)
        assert row["wrong_choices_named"] == count_named(row["explanation"], wrong)
        assert row["words"] == words(row["explanation"])
        assert row["rouge_l"] is None or 0 <= row["rouge_l"] <= 1
    cut = sum(row["truncated"] for row in rows)
    assert ran.result["counters"]["truncated_answers/explanations"] == cut


def test_a_missing_package_is_named_where_people_explained_the_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_people = Example("q1", "What is it?", "fox", ("fox", "hen"), rationale="It is red.")
    monkeypatch.setattr("benchmark.evaluation.explanations.rouge_absence", lambda: None)
    assert rouge_warning([by_people]) is None
    monkeypatch.setattr("benchmark.evaluation.explanations.rouge_absence", lambda: "a package")
    assert "rouge_l needs a package" in str(rouge_warning([replace(by_people, rationale=None), by_people]))
    assert rouge_warning([replace(by_people, rationale=None)]) is None


def test_reasoning_of_the_test_is_not_written_again(tmp_path: Path) -> None:
    ran = run(miniature("method=rationale_then_answer", EXPLAINED), tmp_path)
    rows, predictions = ran.table("explanations"), ran.table("predictions")
    assert len(rows) == 5
    for row, prediction in zip(rows, predictions, strict=False):
        assert (row["text"], row["completion_tokens"], row["prompt_tokens"]) == (prediction["text"], 0, 0)
        assert row["explanation"] == prediction["rationale"].strip()


def test_a_finished_cells_student_explains_later_what_it_would_have_said_then(tmp_path: Path) -> None:
    then, later = finished(tmp_path / "then", EXPLAINED), finished(tmp_path / "later")
    before = (later / "record.json").read_bytes()
    assert explain_finished([str(later), "questions=5"], Silent()) == 0
    one, other = (pd.read_parquet(cell / "explanations.parquet") for cell in (then, later))
    pd.testing.assert_frame_equal(one, other)
    assert (later / "record.json").read_bytes() == before
    written = (later / "explanations.parquet").read_bytes()
    assert explain_finished([str(later)], Silent()) == 0  # what is there stays
    assert (later / "explanations.parquet").read_bytes() == written
    assert (
        run_cell(
            replace(miniature(*TRAITS, "trainer.save_student=true"), results_dir=str(tmp_path / "later")), Silent()
        ).status
        == "already complete"
    )


def test_what_cannot_be_explained_is_refused_before_any_work(tmp_path: Path) -> None:
    answers = finished(tmp_path, "method=answer_only")
    unsaved = finished(tmp_path, "trainer.save_student=false")
    for arguments, said in (
        ([], "no cell is given"),
        ([str(tmp_path / "nothing")], "holds no finished cell"),
        ([str(answers)], "format AnswerOnly has no `explanation_path`"),
        ([str(unsaved)], "has no student"),
        ([str(answers), "question=5"], "question: there is no such setting"),
        ([str(answers), "questions=0"], "questions=0 must be a whole number from 1 on"),
    ):
        with pytest.raises(ConfigError, match=said):
            explain_finished(arguments, Silent())
    assert not list(tmp_path.glob("*/explanations.parquet"))


def test_the_plan_refuses_a_format_that_explains_nothing() -> None:
    with pytest.raises(
        ConfigError,
        match="no `explanation_path`; choose format=multitask or format=multitask_short or "
        "format=rationale_then_answer or ",
    ):
        check_without_trace(miniature("method=answer_only", EXPLAINED))
    check_without_trace(miniature(EXPLAINED))


@pytest.mark.parametrize(
    ("text", "of_words", "of_sentences"),
    [
        ("", 0, 0),
        ("An ape is big. It is hot!", 7, 2),
        ("Costs 3.5 dollars. Really?!", 5, 2),
        ("ape:big;fan:hot", 4, 1),
        ("...", 0, 0),
    ],
)
def test_counts_of_a_text(text: str, of_words: int, of_sentences: int) -> None:
    assert (words(text), sentences(text)) == (of_words, of_sentences)


def test_a_phrase_is_named_by_its_whole_words() -> None:
    text = "A natural habitat, not a zoo: the Habitat."
    assert names(text, "natural habitat")
    assert names(text, "ZOO")
    assert not names(text, "hab")
    assert not names(text, "habitat natural")
    assert not names(text, "")
    assert not names("", "zoo")
    assert count_named(text, ["zoo", "zoo", "habitat", "ape"]) == 2
