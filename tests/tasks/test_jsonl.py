"""Datasets in JSON lines: errors name the line, and validation is carved the same way every time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import DataError, LeakError
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.jsonl import JsonlDataset, read_examples
from benchmark.tasks.multiple_choice import MultipleChoice


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    row = {"id": f"r{number}", "question": f"What is {number} + 1?", "choices": None, "answer": str(number + 1)}
    return row | changes


def write(folder: Path, **splits: Sequence[Mapping[str, Any] | str]) -> Path:
    (folder / "sums").mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / "sums" / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return folder


def dataset(folder: Path, **settings: Any) -> JsonlDataset:
    chosen = {"validation_size": 5, **settings}
    return JsonlDataset("sums", "sums", GeneratedAnswer(), (), str(folder), **chosen)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", r"line 3: not a JSON object"),
        ('"text"', r"line 3: not a JSON object but str"),
        ("null", r"line 3: not a JSON object but NoneType"),
        (row_of(9, id=9), r"line 3: 'id' must be a text that is not empty, but is 9; write it as text: \"9\""),
        (row_of(9, id=""), r"line 3: 'id' must be a text"),
        (row_of(9, answer=[10]), r"line 3: 'answer' must be a text, a number, true or false, but is \[10\]"),
        (row_of(9, answer=None), r"line 3: 'answer' must be a text that is not empty, but is None"),
        ({"id": "x", "answer": "1"}, r"line 3: 'question' must be a text that is not empty, but is None"),
        (row_of(9, choices="10"), r"line 3: 'choices' must be null or a list of texts"),
        (row_of(9, choices=[]), r"line 3: 'choices' must be null or a list of texts"),
        (row_of(9, choices=[10, [11]]), r"line 3: each of 'choices' must be a text that is not blank, .* is \[11\]"),
        (row_of(9, choices=["9", "11"]), r"line 3: answer '10' is not among the choices"),
        (row_of(0), r"line 3: id 'r0' was already used in .*line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, bad: Mapping[str, Any] | str, message: str) -> None:
    write(tmp_path, train=[row_of(0), row_of(1), bad, row_of(3)])
    with pytest.raises(DataError, match=message):
        read_examples(tmp_path / "sums" / "train.jsonl")


def test_missing_empty_and_unnamed_folders(tmp_path: Path) -> None:
    write(tmp_path, train=[row_of(i) for i in range(9)])
    with pytest.raises(DataError, match=r"test\.jsonl does not exist; .* holds train\.jsonl"):
        dataset(tmp_path).load()
    with pytest.raises(DataError, match="there is no data in"):
        dataset(tmp_path / "absent").load()
    with pytest.raises(DataError, match="data_dir=PATH"):
        replace(dataset(tmp_path), data_dir=None).load()
    (tmp_path / "sums" / "test.jsonl").write_text("")
    with pytest.raises(DataError, match="is empty"):
        dataset(tmp_path).load()


def test_fields_are_kept_and_gold_is_taken_off(tmp_path: Path) -> None:
    given = row_of(1, choices=["2", "3"], rationale="1 + 1 = 2", context="Add.")
    write(tmp_path, train=[given])
    [example] = read_examples(tmp_path / "sums" / "train.jsonl")
    assert (example.question, example.answer, example.choices) == ("What is 1 + 1?", "2", ("2", "3"))
    assert (example.rationale, example.context) == ("1 + 1 = 2", "Add.")
    question = example.without_gold()
    assert (question.id, question.text, question.choices, question.context) == (
        "r1",
        "What is 1 + 1?",
        ("2", "3"),
        "Add.",
    )
    assert not hasattr(question, "answer")
    assert not hasattr(question, "rationale")


# --- carving -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, train=[row_of(i) for i in range(40)], test=[row_of(i) for i in range(40, 60)])


def ids(rows: Sequence[Any]) -> list[str]:
    return [row.id for row in rows]


def test_validation_is_carved_out_and_the_order_of_the_file_is_kept(folder: Path) -> None:
    splits = dataset(folder, validation_size=12).load()
    assert len(splits.validation) == 12
    assert not set(ids(splits.pool)) & set(ids(splits.validation))
    assert sorted(ids(splits.pool) + ids(splits.validation)) == sorted(f"r{i}" for i in range(40))
    for rows in (splits.pool, splits.validation):
        assert [int(key[1:]) for key in ids(rows)] == sorted(int(key[1:]) for key in ids(rows))


# The first 5 of a PCG64 permutation of 40, seeded by sha256 of '["validation",0]'.
GOLDEN_CARVING = ["r5", "r12", "r14", "r25", "r36"]


def test_the_carving_is_the_same_on_every_machine_and_in_every_version(folder: Path) -> None:
    """Golden: a change here changes every number of every dataset whose validation is carved."""
    assert ids(dataset(folder, validation_size=5).load().validation) == GOLDEN_CARVING
    # A smaller validation split is part of a larger one, so that sizes can be compared.
    assert set(GOLDEN_CARVING) <= set(ids(dataset(folder, validation_size=9).load().validation))


def test_the_carving_depends_on_its_seed_alone(folder: Path, tmp_path: Path) -> None:
    first = ids(dataset(folder).load().validation)
    assert ids(dataset(folder, split_seed=1).load().validation) != first
    elsewhere = write(tmp_path / "copy", train=[row_of(i) for i in range(40)], test=[row_of(i) for i in range(40, 50)])
    assert ids(replace(dataset(elsewhere), name="other").load().validation) == first


def test_the_fingerprint_follows_the_rows_and_the_splits_not_the_folder(folder: Path, tmp_path: Path) -> None:
    train, test = [row_of(i) for i in range(40)], [row_of(i) for i in range(40, 60)]
    copy = write(tmp_path / "copy", train=train, test=test)
    changed = write(tmp_path / "changed", train=[row_of(0, rationale="new"), *train[1:]], test=test)
    prints = [dataset(place).fingerprint() for place in (folder, copy, changed)]
    assert prints[0] == prints[1] != prints[2]
    assert dataset(folder, split_seed=1).fingerprint() != prints[0]
    assert dataset(folder, test_size=3).fingerprint() != prints[0]


def test_a_validation_file_is_used_where_one_is_named(folder: Path) -> None:
    write(folder, dev=[row_of(i) for i in range(80, 83)])
    splits = dataset(folder, validation="dev", validation_size=None).load()
    assert ids(splits.validation) == ["r80", "r81", "r82"]
    assert len(splits.pool) == 40


@pytest.mark.parametrize("settings", [{"validation": "dev"}, {"validation_size": None}])
def test_validation_comes_from_one_place(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either validation"):
        dataset(tmp_path, **settings)


@pytest.mark.parametrize("size", [0, -1, 40, 41])
def test_a_validation_size_that_leaves_nothing_is_refused(folder: Path, size: int) -> None:
    with pytest.raises(DataError, match="cannot be drawn from 40 rows"):
        dataset(folder, validation_size=size).load()


def test_a_test_size_takes_the_first_rows(folder: Path) -> None:
    splits = dataset(folder, test_size=3).load()
    splits.test.unseal()
    assert ids(splits.test.open()) == ["r40", "r41", "r42"]
    with pytest.raises(DataError, match="test_size=21"):
        dataset(folder, test_size=21).load()


# --- rows that cannot be used --------------------------------------------------------------------------------------


def test_a_gold_answer_that_the_task_cannot_read_is_refused(folder: Path) -> None:
    write(folder, test=[row_of(50), row_of(51, answer="fifty-two")])
    with pytest.raises(DataError, match=r"test\.jsonl, line 2: .* cannot read the gold answer 'fifty-two' of 'r51'"):
        dataset(folder).load()


def test_an_id_in_two_splits_is_refused(folder: Path) -> None:
    write(folder, test=[row_of(50), row_of(7, question="Another text?")])
    with pytest.raises(DataError, match=r"id 'r7' is in (pool|validation) and in test"):
        dataset(folder).load()


def test_a_question_in_two_splits_is_refused(folder: Path) -> None:
    write(folder, test=[row_of(50), row_of(7, id="under another id")])
    with pytest.raises(DataError, match="What is 7"):
        dataset(folder).load()


def test_a_gold_option_that_differs_from_another_in_letter_case_only_can_be_scored(folder: Path) -> None:
    rows = [row_of(i, choices=["may", "May"], answer="May") for i in range(40)]
    write(folder, train=rows, test=[{**rows[0], "id": "t", "question": "another?"}])
    example = replace(dataset(folder), task=MultipleChoice()).load().pool[0]
    task = MultipleChoice()
    assert [task.parse(example.without_gold(), text) for text in ("May", "may", " May ")] == ["May", "may", "May"]


def test_a_file_that_is_not_utf8_is_refused_by_name(folder: Path) -> None:
    (folder / "sums" / "test.jsonl").write_bytes(b'{"id": "x", "question": "caf\xe9?", "answer": "1"}\n')
    with pytest.raises(DataError, match=r"test\.jsonl"):
        dataset(folder).load()


def test_the_test_split_of_a_file_is_sealed_too(folder: Path) -> None:
    with pytest.raises(LeakError):
        dataset(folder).load().test.open()


@pytest.mark.parametrize(
    ("gold", "shown"),
    [("fifty-two", "'fifty-two'"), (True, "'true'"), ("5 2", "'5 2'"), ("x" * 999, "'xxxx.*\\.\\.\\.")],
)
def test_an_unreadable_gold_answer_is_named_by_file_and_line(folder: Path, gold: Any, shown: str) -> None:
    write(folder, test=[row_of(50), "", row_of(51, answer=gold)])
    message = rf"test\.jsonl, line 3: dataset=sums, test: task generated_answer cannot read the gold answer {shown}"
    with pytest.raises(DataError, match=message):
        dataset(folder).load()


# --- numbers, truth values and labels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"), [("10", "10"), ("10.0", "10"), ("1e1", "10"), ("-0.0", "0"), ("1e-7", "0.0000001")]
)
def test_a_gold_answer_may_be_a_number(tmp_path: Path, written: str, read: str) -> None:
    write(tmp_path, train=[f'{{"id": "a", "question": "q", "answer": {written}}}'])
    [example] = read_examples(tmp_path / "sums" / "train.jsonl")
    assert example.answer == read


@pytest.mark.parametrize(
    ("changes", "choices", "answer"),
    [
        ({"choices": ["yes", "no"], "answer": True}, ("yes", "no"), "yes"),
        ({"choices": [9, 10], "answer": 10}, ("9", "10"), "10"),
        ({"choices": {"label": ["A", "B"], "text": ["x", "y"]}, "answer": None, "answerKey": "B"}, ("x", "y"), "y"),
        ({"choices": [{"label": "1", "text": "x"}, {"label": "2", "text": "y"}], "answer": "1"}, ("x", "y"), "x"),
    ],
)
def test_choices_come_in_the_forms_of_published_datasets(
    tmp_path: Path, changes: dict[str, Any], choices: tuple[str, ...], answer: str
) -> None:
    write(tmp_path, train=[row_of(9, **changes)])
    [example] = read_examples(tmp_path / "sums" / "train.jsonl")
    assert (example.choices, example.answer) == (choices, answer)


@pytest.mark.parametrize(
    ("written", "read"),
    [(["9+1=10"], "9+1=10"), (["3*3=9", "9+1=10"], "3*3=9;9+1=10"), (["Nine.", "Ten."], "Nine. Ten."), (None, None)],
)
def test_a_human_rationale_may_be_a_list_of_steps(tmp_path: Path, written: Any, read: str | None) -> None:
    write(tmp_path, train=[row_of(9, rationale=written)])
    assert read_examples(tmp_path / "sums" / "train.jsonl")[0].rationale == read


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rationale": {"a": 1}}, "rationale"),
        ({"rationale": ["a", ""]}, "rationale"),
        ({"context": ["a", "b"]}, "context"),
        ({"context": 3}, "context"),
        ({"question": {"stem": "q"}}, "question"),
        ({"question": "half \ud83d"}, "question"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    write(tmp_path, train=[row_of(0), row_of(1) | changes])
    with pytest.raises(DataError, match=rf"train\.jsonl, line 2: '{field}' "):
        read_examples(tmp_path / "sums" / "train.jsonl")


# --- more options than letters -------------------------------------------------------------------------------------

LETTERED, BARE = MultipleChoice(), MultipleChoice(heading="\n", item="{choice}", separator=",")


def of_options(number: int, count: int) -> dict[str, Any]:
    return row_of(number, choices=[f"thing {n}" for n in range(count)], answer=f"thing {count - 1}")


@pytest.mark.parametrize("count", [27, 28, 400])
@pytest.mark.parametrize("split", ["train", "test"])
def test_more_options_than_letters_are_refused_by_file_and_line(folder: Path, split: str, count: int) -> None:
    rows = {"train": [of_options(n, 26) for n in range(40)], "test": [of_options(n, 26) for n in range(40, 50)]}
    lettered = replace(dataset(write(folder, **rows)), task=LETTERED)
    assert len(lettered.load().pool) == 35
    rows[split][6] = of_options(99, count)
    message = rf"{split}\.jsonl, line 7: question 'r99' has {count} 'choices'; there are letters for 26"
    with pytest.raises(DataError, match=message):
        replace(dataset(write(folder / "more", **rows)), task=LETTERED).load()


@pytest.mark.parametrize("count", [27, 28, 400])
def test_a_task_without_letters_takes_any_number_of_options(folder: Path, count: int) -> None:
    rows = [of_options(n, count) for n in range(50)]
    bare = replace(dataset(write(folder, train=rows[:40], test=rows[40:])), task=BARE)
    row = bare.load().pool[0]
    question = row.without_gold()
    assert BARE.show(question).endswith(f",thing {count - 1}")
    assert BARE.parse(question, row.answer) == row.answer
    assert BARE.parse(question, "(b)") is None
    assert (
        BARE.parse_flexibly(question, f"I looked at all. It must be thing {count - 2}, I think") == f"thing {count - 2}"
    )
    assert BARE.parse_flexibly(question, "thing 1 or thing 2") is None
