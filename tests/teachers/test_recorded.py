"""The recorded teacher: replays a file, and answers nothing that it was not asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import DataError, LeakError
from benchmark.evaluation.reference import teacher_accuracy
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.recorded import RecordedTeacher
from benchmark.teachers.replies import split_answer
from benchmark.types import Reply

QUESTIONS = {f"q{i}": (f"What is {i} and {i}?", str(2 * i)) for i in range(6)}


def write_lines(path: Path, rows: Sequence[Mapping[str, Any] | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> JsonlDataset:
    rows = [{"id": key, "question": text, "choices": None, "answer": gold} for key, (text, gold) in QUESTIONS.items()]
    write_lines(tmp_path / "data" / "sums" / "train.jsonl", rows[:4])
    write_lines(tmp_path / "data" / "sums" / "test.jsonl", rows[4:])
    return JsonlDataset(
        name="sums",
        folder="sums",
        task=GeneratedAnswer(),
        exemplars=(Exemplar("What is 20 and 30?", "20 + 30 = 50.", "50"),),
        data_dir=str(tmp_path / "data"),
        validation_size=1,
    )


def teacher_of(tmp_path: Path, rows: Sequence[Mapping[str, Any] | str]) -> RecordedTeacher:
    return RecordedTeacher("palm", str(write_lines(tmp_path / "recording.jsonl", rows)))


def request_for(teacher: RecordedTeacher, dataset: JsonlDataset, key: str, samples: int = 1) -> list[Reply]:
    question = next(row for row in all_rows(dataset) if row.id == key).without_gold()
    request = PromptLibrary().render("few_shot_cot", question, dataset)
    return asyncio.run(teacher.open(dataset).reply(request, samples))


def all_rows(dataset: JsonlDataset) -> list[Any]:
    splits = dataset.load()
    splits.test.unseal()
    return [*splits.pool, *splits.validation, *splits.test.open()]


def test_it_replays_rationale_and_answer_through_the_parser(tmp_path: Path, dataset: JsonlDataset) -> None:
    rows = [{"id": key, "rationale": f"{key} is doubled.", "answer": gold} for key, (_, gold) in QUESTIONS.items()]
    teacher = teacher_of(tmp_path, rows)
    for key, (_, gold) in QUESTIONS.items():
        [reply] = request_for(teacher, dataset, key)
        assert split_answer(reply.text) == (f"{key} is doubled.", gold)
        assert reply.finish == "stop"
        assert reply.completion_tokens > 0
        assert reply.prompt_tokens > 0
        assert reply.confidence is None


def test_samples_keep_the_order_of_the_file(tmp_path: Path, dataset: JsonlDataset) -> None:
    rows = [{"id": "q1", "rationale": f"try {n}", "answer": str(n), "sample": n} for n in (0, 1, 2)]
    rows.insert(1, {"id": "q2", "rationale": "greedy", "answer": "4", "sample": "greedy"})
    teacher = teacher_of(tmp_path, rows)
    assert [split_answer(reply.text)[1] for reply in request_for(teacher, dataset, "q1", 3)] == ["0", "1", "2"]
    assert [split_answer(reply.text)[1] for reply in request_for(teacher, dataset, "q1", 2)] == ["0", "1"]
    assert [split_answer(reply.text)[1] for reply in request_for(teacher, dataset, "q2", 1)] == ["4"]


def test_more_samples_than_recorded_are_refused_with_both_numbers(tmp_path: Path, dataset: JsonlDataset) -> None:
    teacher = teacher_of(tmp_path, [{"id": "q1", "rationale": "r", "answer": "2"}])
    with pytest.raises(DataError, match=r"3 samples of question 'q1'.* holds 1"):
        request_for(teacher, dataset, "q1", 3)


@pytest.mark.parametrize(
    ("row", "rationale", "answer"),
    [
        ({"rationale": "so", "answer": None, "raw": "(7 * )"}, "so", "(7 * )"),
        ({"rationale": "so", "answer": None}, "so", None),
        ({"rationale": "25", "answer": None, "raw": "25"}, "25", None),
        ({"rationale": "so 2.", "answer": None, "raw": "so 2. Thus 2 or 3."}, "so 2. Thus 2 or 3.", None),
        ({"rationale": "so. The answer is 2.", "answer": None, "raw": "so. The answer is 2."}, "so.", None),
        ({"rationale": "so", "answer": "2", "raw": "(1 + 1)"}, "so", "2"),
        ({"rationale": None, "answer": "2"}, None, "2"),
        ({"rationale": "", "answer": None, "raw": None}, None, None),
        ({"rationale": "3.5 each.", "answer": "3.5"}, "3.5 each.", "3.5"),
    ],
)
def test_null_answers_raw_and_missing_rationales(
    tmp_path: Path, dataset: JsonlDataset, row: dict[str, Any], rationale: str | None, answer: str | None
) -> None:
    [reply] = request_for(teacher_of(tmp_path, [{"id": "q1", **row}]), dataset, "q1")
    assert split_answer(reply.text) == (rationale, answer)


def test_a_null_answer_stays_null_however_often_the_output_states_one(tmp_path: Path, dataset: JsonlDataset) -> None:
    raw = "so. Thus the answer is 2. The answer is 2. #### 2\n\\boxed{2}"
    [reply] = request_for(
        teacher_of(tmp_path, [{"id": "q1", "rationale": "so.", "answer": None, "raw": raw}]), dataset, "q1"
    )
    assert split_answer(reply.text) == ("so.", None)


def test_a_null_answer_is_wrong_even_where_raw_is_kept(tmp_path: Path, dataset: JsonlDataset) -> None:
    rows = [
        {"id": "q4", "rationale": "r", "answer": None, "raw": "(4 + 4)"},
        {"id": "q5", "rationale": "r", "answer": "10"},
    ]
    examples = [row for row in all_rows(dataset) if row.id in ("q4", "q5")]
    door = teacher_of(tmp_path, rows).open(dataset)
    assert teacher_accuracy(door, dataset, PromptLibrary(), examples) == {
        "metric": "accuracy",
        "value": 0.5,
        "flexible_value": 0.5,
        "n": 2,
        "of": 2,
    }


def test_it_does_not_answer_a_question_that_is_not_in_the_prompt(tmp_path: Path, dataset: JsonlDataset) -> None:
    teacher = teacher_of(tmp_path, [{"id": key, "rationale": "r", "answer": "1"} for key in QUESTIONS])
    rows = all_rows(dataset)
    request = PromptLibrary().render("few_shot_cot", rows[0].without_gold(), dataset)
    broken = replace(request, prompt=request.prompt.replace(rows[0].question, ""))
    replies = asyncio.run(teacher.open(dataset).reply(broken, 2))
    assert [(reply.text, reply.finish, reply.completion_tokens) for reply in replies] == [("", "not_asked", 0)] * 2
    assert split_answer(replies[0].text) == (None, None)
    other = replace(request, question_id=rows[1].id)
    assert asyncio.run(teacher.open(dataset).reply(other, 1))[0].finish == "not_asked"


def test_a_template_that_loses_the_question_scores_nothing(tmp_path: Path, dataset: JsonlDataset) -> None:
    teacher = teacher_of(tmp_path, [{"id": k, "rationale": "r", "answer": gold} for k, (_, gold) in QUESTIONS.items()])
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "few_shot_cot.j2").write_text("Q: {{ question.id }}\nA:")
    rows, door = all_rows(dataset), teacher.open(dataset)
    whole = teacher_accuracy(door, dataset, PromptLibrary(), rows)
    lost = teacher_accuracy(door, dataset, PromptLibrary((folder,)), rows)
    assert whole is not None
    assert lost is not None
    assert (whole["value"], lost["value"]) == (1.0, 0.0)


def test_a_sample_that_is_there_twice_is_refused_by_line(tmp_path: Path, dataset: JsonlDataset) -> None:
    row = {"id": "q1", "rationale": "r", "answer": "2"}
    with pytest.raises(DataError, match=r"line 3: sample 0 of 'q1' is there twice"):
        teacher_of(tmp_path, [row, {**row, "sample": 1}, {**row, "sample": 0}]).open(dataset)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", r"line 2: not a JSON object"),
        ("[1, 2]", r"line 2: not a JSON object but list"),
        ('{"rationale": "r"}', r"line 2: 'id' must be a text"),
        ('{"id": 7, "rationale": "r", "answer": "1"}', r"line 2: 'id' must be a text .*but is 7; write it as text"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, dataset: JsonlDataset, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        teacher_of(tmp_path, [{"id": "q1", "rationale": "r", "answer": "2"}, line]).open(dataset)


def test_missing_and_empty_files_are_refused(tmp_path: Path, dataset: JsonlDataset) -> None:
    (tmp_path / "there.jsonl").write_text('{"id": "q1"}\n')
    with pytest.raises(DataError, match=r"absent\.jsonl does not exist; .* holds there\.jsonl"):
        RecordedTeacher("palm", str(tmp_path / "absent.jsonl")).open(dataset)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="is empty"):
        RecordedTeacher("palm", str(tmp_path / "empty.jsonl")).open(dataset)
    with pytest.raises(DataError, match="data_dir"):
        RecordedTeacher("palm", recording="teacher_palm540b.jsonl").open(dataset)
    assert RecordedTeacher("palm", str(tmp_path / "absent.jsonl")).fingerprint(dataset) == "missing"


def test_rows_outside_the_dataset_are_ignored_and_coverage_is_by_id(tmp_path: Path, dataset: JsonlDataset) -> None:
    rows = [{"id": "q0", "rationale": "r", "answer": "0"}, {"id": "elsewhere", "rationale": "r", "answer": "9"}]
    teacher = teacher_of(tmp_path, rows)
    door = teacher.open(dataset)
    assert [key for key in QUESTIONS if door.covers(key)] == ["q0"]
    assert split_answer(request_for(teacher, dataset, "q0")[0].text) == ("r", "0")
    measured = teacher_accuracy(door, dataset, PromptLibrary(), all_rows(dataset))
    assert measured == {"metric": "accuracy", "value": 1.0, "flexible_value": 1.0, "n": 1, "of": 6}
    assert teacher_accuracy(door, dataset, PromptLibrary(), all_rows(dataset)[-1:]) is None


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path, dataset: JsonlDataset) -> None:
    row = {"id": "q1", "rationale": "r", "answer": "2"}
    first = RecordedTeacher("a", str(write_lines(tmp_path / "a.jsonl", [row])))
    copy = RecordedTeacher("b", str(write_lines(tmp_path / "elsewhere" / "b.jsonl", [row])))
    other = RecordedTeacher("c", str(write_lines(tmp_path / "c.jsonl", [{**row, "answer": "3"}])))
    assert first.fingerprint(dataset) == copy.fingerprint(dataset) != other.fingerprint(dataset)


def test_opening_the_teacher_leaves_the_cells_own_test_split_sealed(tmp_path: Path, dataset: JsonlDataset) -> None:
    splits = dataset.load()
    teacher_of(tmp_path, [{"id": "q1", "rationale": "r", "answer": "2"}]).open(dataset)
    with pytest.raises(LeakError):
        splits.test.open()
