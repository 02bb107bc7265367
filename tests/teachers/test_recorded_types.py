"""Recordings by their types: numbers, truth values and lists of steps are replayed; other values name their line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.contract import Task
from benchmark.errors import DataError
from benchmark.evaluation.reference import teacher_accuracy
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.recorded import RecordedTeacher
from benchmark.teachers.replies import split_answer
from benchmark.types import Example

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")
CASES = DATA.parent / "cases" / "data"
with_cases = pytest.mark.skipif(not (CASES / "sides" / "train.jsonl").is_file(), reason=f"no data in {CASES}")
Rows = Sequence[Mapping[str, Any] | str]


def write_lines(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def dataset_of(folder: Path, golds: Sequence[str], choices: Sequence[str] | None, task: Task) -> JsonlDataset:
    rows = [
        {"id": f"q{n}", "question": f"Case {n}?", "choices": choices, "answer": gold} for n, gold in enumerate(golds)
    ]
    write_lines(folder / "cases" / "train.jsonl", rows[:-1])
    write_lines(folder / "cases" / "test.jsonl", rows[-1:])
    shown = None if choices is None else tuple(choices)
    exemplar = Exemplar("Two and two?", "2 + 2 = 4.", golds[0], shown)
    return JsonlDataset("cases", "cases", task, (exemplar,), str(folder), validation_size=1)


def numbers(folder: Path) -> JsonlDataset:
    return dataset_of(folder, ["0", "72", "0.5", "0"], None, GeneratedAnswer())


def questions(folder: Path, choices: Sequence[str] = ("yes", "no")) -> JsonlDataset:
    return dataset_of(folder, [choices[0], choices[1], choices[0]], choices, MultipleChoice())


def examples(dataset: JsonlDataset) -> list[Example]:
    splits = dataset.load()
    splits.test.unseal()
    return sorted([*splits.pool, *splits.validation, *splits.test.open()], key=lambda row: row.id)


def said(dataset: JsonlDataset, teacher: RecordedTeacher) -> list[tuple[str | None, str | None]]:
    """(rationale, answer text) of the first sample of every question, as the parser of replies finds them."""
    door, found = teacher.open(dataset), []
    for row in examples(dataset):
        [reply] = asyncio.run(door.reply(PromptLibrary().render("few_shot_cot", row.without_gold(), dataset), 1))
        found.append(split_answer(reply.text))
    return found


def recorded(folder: Path, rows: Rows) -> RecordedTeacher:
    return RecordedTeacher("palm", str(write_lines(folder / "recording.jsonl", rows)))


def answers(folder: Path, dataset: JsonlDataset, written: Sequence[str]) -> list[str | None]:
    """The answers that are replayed for answers written in JSON, one for each question."""
    rows = [f'{{"id": "q{n}", "rationale": "so", "answer": {value}}}' for n, value in enumerate(written)]
    replayed = said(dataset, recorded(folder, rows))
    assert [rationale for rationale, _ in replayed] == ["so"] * len(written)
    return [answer for _, answer in replayed]


def test_numbers_are_answers_and_zero_is_one(tmp_path: Path) -> None:
    made = numbers(tmp_path / "data")
    assert answers(tmp_path / "a", made, ["0", "72", "0.5", "null"]) == ["0", "72", "0.5", None]
    assert answers(tmp_path / "b", made, ["0.0", "72.0", "5e-1", "-0.0"]) == ["0", "72", "0.5", "0"]
    assert answers(tmp_path / "c", made, ["1e-7", "1e3", "-3", '"0"']) == ["0.0000001", "1000", "-3", "0"]


def test_truth_values_are_answers_in_the_words_of_the_question(tmp_path: Path) -> None:
    for name, choices, replayed in (
        ("strategyqa", ("yes", "no"), ["yes", "no", None]),
        ("capitals", ("No", "Yes"), ["Yes", "No", None]),
        ("boolq", ("true", "false"), ["true", "false", None]),
        ("others", ("much", "little"), ["true", "false", None]),
    ):
        made = questions(tmp_path / name, choices)
        assert answers(tmp_path / name, made, ["true", "false", "null"]) == replayed
    made = numbers(tmp_path / "numbers")
    assert answers(tmp_path, made, ["true", "false", "0", "null"]) == ["true", "false", "0", None]


def test_numbers_pick_the_choice_that_is_that_number(tmp_path: Path) -> None:
    made = questions(tmp_path / "data", ("72.0", "0"))
    assert answers(tmp_path, made, ["72", "0", "7"]) == ["72.0", "0", "7"]
    assert answers(tmp_path / "b", made, ["72.00", "-0.0", '"72.0"']) == ["72.0", "0", "72.0"]


def test_a_question_outside_the_dataset_may_say_anything_that_is_an_answer(tmp_path: Path) -> None:
    rows = [{"id": "elsewhere", "answer": True}, {"id": "further", "answer": 0.0}]
    door = recorded(tmp_path, rows).open(questions(tmp_path / "data"))
    assert door.covers("elsewhere")
    assert not door.covers("q0")


@pytest.mark.parametrize(
    ("written", "rationale"),
    [
        (["10+4=14", "14*1=14"], "10+4=14;14*1=14"),
        (["all are thrown away"], "all are thrown away"),
        (["Ten are here.", "Four come."], "Ten are here. Four come."),
        ("as it is ; so", "as it is ; so"),
        (None, None),
    ],
)
def test_a_rationale_may_be_a_list_of_steps(tmp_path: Path, written: Any, rationale: str | None) -> None:
    rows = [{"id": f"q{n}", "rationale": written, "answer": 0} for n in range(4)]
    assert said(numbers(tmp_path / "data"), recorded(tmp_path, rows)) == [(rationale, "0")] * 4


def test_the_order_of_samples_and_a_sample_that_is_null(tmp_path: Path) -> None:
    rows = [{"id": "q0", "answer": n, "sample": sample} for n, sample in enumerate([None, "greedy", 10, "2"])]
    made = numbers(tmp_path / "data")
    request = PromptLibrary().render("few_shot_cot", examples(made)[0].without_gold(), made)
    replies = asyncio.run(recorded(tmp_path, rows).open(made).reply(request, 4))
    assert [split_answer(reply.text)[1] for reply in replies] == ["1", "0", "3", "2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": 7, "answer": "1"}', "'id' must be a text that is not empty, but is 7; write it as text: \"7\""),
        ('{"id": true, "answer": "1"}', "'id' must be a text that is not empty, but is True"),
        ('{"id": 0.5, "answer": "1"}', "'id' must be a text that is not empty, but is 0.5"),
        ('{"id": "q1", "answer": ["1"]}', "'answer' must be a text, a number, true or false, but is ['1']"),
        ('{"id": "q1", "answer": {"value": 1}}', "'answer' must be a text, a number, true or false"),
        ('{"id": "q1", "answer": []}', "'answer' must be a text, a number, true or false, but is []"),
        ('{"id": "q1", "rationale": 7}', "'rationale' must be a text, null or a list of texts"),
        ('{"id": "q1", "rationale": ["a", ""]}', "'rationale' must be a text, null or a list of texts"),
        ('{"id": "q1", "rationale": {"steps": []}}', "'rationale' must be a text, null or a list of texts"),
        ('{"id": "q1", "raw": 7}', "'raw' must be a text or null, but is 7"),
        ('{"id": "q1", "raw": ["a"]}', "'raw' must be a text or null, but is ['a']"),
        ('{"id": "q1", "raw": false}', "'raw' must be a text or null, but is False"),
        ('{"id": "q1", "sample": true}', "'sample' must be a whole number or a text, but is True"),
        ('{"id": "q1", "sample": 0.0}', "'sample' must be a whole number or a text, but is 0"),
        ('{"id": "q1", "sample": [0]}', "'sample' must be a whole number or a text, but is [0]"),
        (r'{"id": "q1", "answer": "\ud83d"}', r"'answer' holds '\ud83d', half of a surrogate pair"),
        (r'{"id": "q1", "rationale": ["a", "\ude00"]}', r"'rationale' holds '\ude00', half of a surrogate pair"),
        (r'{"id": "q1", "raw": "\ud83d"}', r"'raw' holds '\ud83d', half of a surrogate pair"),
        ('{"id": "q1", "answer": NaN}', "NaN is no JSON value"),
        ('{"id": "q1", "answer": 1e999}', "the number 1e999 is too large"),
        ('{"id": "q1", "answer": "1", "answer": "2"}', "'answer' is there twice in one object"),
    ],
)
def test_a_wrong_value_is_refused_with_file_line_and_field(tmp_path: Path, line: str, message: str) -> None:
    teacher = recorded(tmp_path, [{"id": "q0", "answer": "2"}, "", line])
    with pytest.raises(DataError) as refused:
        teacher.open(numbers(tmp_path / "data"))
    assert str(refused.value).startswith(f"{tmp_path}/recording.jsonl, line 3: {message}")
    str(refused.value).encode()


def test_a_whole_file_list_says_how_pandas_writes_lines(tmp_path: Path) -> None:
    teacher = recorded(tmp_path, [json.dumps([{"id": "q0", "answer": "2"}])])
    with pytest.raises(DataError, match=r"recording\.jsonl, line 1: .*lines=True"):
        teacher.open(numbers(tmp_path / "data"))


def test_the_accuracy_counts_zero_and_false(tmp_path: Path) -> None:
    made, prompts = numbers(tmp_path / "data"), PromptLibrary()
    rows = [{"id": f"q{n}", "rationale": "r", "answer": answer} for n, answer in enumerate([0, 72.0, 0.5, -0.0])]
    measured = teacher_accuracy(recorded(tmp_path, rows).open(made), made, prompts, examples(made))
    assert measured is not None
    assert (measured["value"], measured["n"]) == (1.0, 4)
    made = questions(tmp_path / "questions")
    rows = [{"id": f"q{n}", "rationale": "r", "answer": answer} for n, answer in enumerate([True, False, True])]
    door = recorded(tmp_path / "questions", rows).open(made)
    measured = teacher_accuracy(door, made, prompts, examples(made))
    assert measured is not None
    assert (measured["value"], measured["n"]) == (1.0, 3)


# --- the recordings of the shared folder -----------------------------------------------------------------------------


def sides() -> JsonlDataset:
    exemplar = Exemplar("A square and a pentagon: how many sides in all?", "4+5=9", "9")
    return JsonlDataset("sides", "sides", GeneratedAnswer(), (exemplar,), str(CASES), validation_size=10)


def case(recording: str) -> RecordedTeacher:
    return RecordedTeacher("case", recording=f"{recording}.jsonl", data_dir=str(CASES))


@with_cases
@pytest.mark.realdata
@pytest.mark.parametrize("recording", ["teacher_numbers", "teacher_steps"])
def test_every_answer_of_the_shared_recordings_is_read(recording: str) -> None:
    made = sides()
    measured = teacher_accuracy(case(recording).open(made), made, PromptLibrary(), examples(made))
    assert measured is not None
    assert (measured["value"], measured["n"], measured["of"]) == (1.0, len(examples(made)), len(examples(made)))


@with_cases
@pytest.mark.realdata
def test_the_shared_steps_are_joined_as_the_tasks_join_theirs() -> None:
    made = sides()
    replayed = dict(zip((row.id for row in examples(made)), said(made, case("teacher_steps")), strict=True))
    assert replayed["r0"] == ("all are thrown away", "0")
    assert replayed["r1"] == ("10+4=14;14*1=14", "14")
    assert [rationale for rationale, _ in replayed.values()] == [row.rationale for row in examples(made)]
