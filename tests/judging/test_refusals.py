"""What cannot be judged is refused before any request, with the value and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmark.console.progress import Silent
from benchmark.errors import ConfigError
from benchmark.judging.command import judge_finished
from tests.judging import scripted_judge
from tests.judging.conftest import Judged, finished, write_explanations

TEXTS = ["Because.", "Therefore."]


def refused(judged: Judged, *arguments: str) -> str:
    scripted_judge.ASKED.clear()
    with pytest.raises(ConfigError) as error:
        judge_finished([*arguments, judged.searchpath], Silent(), lambda text: None)
    assert scripted_judge.ASKED == []
    assert judged.files() == []
    return str(error.value)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("constructs=plausible", "constructs=plausible: there is no such construct; did you mean 'plausibility'?"),
        ("constructs=", "constructs=: there is no such construct; valid: completeness, "),
        ("question=5", "question: there is no such setting; did you mean 'questions'?"),
        ("questions=0", "questions=0 must be a whole number from 1 on"),
        ("questions=some", "questions=some must be a whole number from 1 on"),
        ("store_path=", "store_path is empty"),
        ("dataset=chain_sum", "dataset: there is no such setting"),
        ("-m", "-m: judge has no such option"),
        ("results/third", "judge compares two cells, and 3 are given"),
        ("teacher.say=a", "teacher.say"),
        ("teacher.says=b", "teacher.says='b'"),
    ],
)
def test_a_wrong_argument_is_named(judged: Judged, argument: str, said: str) -> None:
    judged.explain(TEXTS, TEXTS[::-1])
    try:
        message = refused(judged, str(judged.first), str(judged.second), "teacher=scripted", argument)
    except Exception as error:  # Hydra's own errors become one line in `benchmark.app`
        message = str(error)
    assert said in message


def test_a_command_needs_two_cells_and_a_judge(judged: Judged) -> None:
    assert "0 are given: python -m benchmark judge RESULTS/FIRST" in refused(judged, "teacher=scripted")
    assert "1 are given" in refused(judged, str(judged.first), "teacher=scripted")
    assert "no judge is given" in refused(judged, str(judged.first), str(judged.second))


def test_a_cell_without_explanations_names_the_command_that_makes_them(judged: Judged) -> None:
    write_explanations(judged.first, TEXTS, "ape")
    said = refused(judged, str(judged.first), str(judged.second), "teacher=scripted")
    assert f"make it with: python -m benchmark explain {judged.second}" in said
    (judged.second / "explanations.parquet").write_text("no table")
    said = refused(judged, str(judged.first), str(judged.second), "teacher=scripted")
    assert re.search(r"explanations\.parquet cannot be read \(.+\); delete it and make it with: ", said)


def test_a_folder_without_a_finished_cell_is_named(judged: Judged, tmp_path: Path) -> None:
    said = refused(judged, str(judged.first), str(tmp_path / "nothing"), "teacher=scripted")
    assert "has no explanations.parquet" in said
    write_explanations(judged.first, TEXTS, "ape")
    said = refused(judged, str(judged.first), str(tmp_path / "nothing"), "teacher=scripted")
    assert f"{tmp_path / 'nothing'} holds no finished cell (missing)" in said


def test_a_cell_is_not_compared_with_itself(judged: Judged) -> None:
    judged.explain(TEXTS, TEXTS)
    said = refused(judged, str(judged.first), f"{judged.first}/../{judged.first.name}", "teacher=scripted")
    assert f"are the same cell, {judged.first.name}" in said


def test_cells_without_a_common_question_are_refused(judged: Judged, tmp_path: Path) -> None:
    judged.explain(TEXTS, [])
    frame = pd.read_parquet(judged.first / "explanations.parquet").assign(example_id=["one", "two"])
    frame.to_parquet(judged.second / "explanations.parquet")
    assert "have explained no common question" in refused(
        judged, str(judged.first), str(judged.second), "teacher=scripted"
    )
    sums = finished(tmp_path, "method=rationale_then_answer")
    write_explanations(sums, TEXTS, "4")
    said = refused(judged, str(judged.first), str(sums), "teacher=scripted")
    assert f"{judged.first} is about trait_choice and {sums} about chain_sum" in said


def test_the_same_id_of_another_question_is_refused(judged: Judged, tmp_path: Path) -> None:
    other = finished(tmp_path, "dataset=trait_choice", "method=rationale_then_answer", "dataset.generation_seed=5")
    write_explanations(judged.first, TEXTS, "ape")
    write_explanations(other, TEXTS, "ape")
    said = refused(judged, str(judged.first), str(other), "teacher=scripted")
    assert "is not the same in" in said


@pytest.mark.parametrize("option", ["simulated", "palm540b"])
def test_a_teacher_that_takes_no_free_prompt_cannot_judge(judged: Judged, option: str) -> None:
    judged.explain(TEXTS, TEXTS[::-1])
    said = refused(judged, str(judged.first), str(judged.second), f"teacher={option}")
    assert said.startswith(f"teacher={option} cannot judge: it answers only the prompts")
    assert "choose teacher=openai_compatible" in said


def test_a_judge_without_a_server_or_a_model_is_refused(judged: Judged) -> None:
    judged.explain(TEXTS, TEXTS[::-1])
    cells = str(judged.first), str(judged.second)
    assert "teacher.base_url=URL" in refused(judged, *cells, "teacher=openai_compatible")
    assert "teacher.path" in refused(judged, *cells, "teacher=transformers")
    assert not (judged.results / "teacher_store.sqlite").exists()
