"""Datasets, recordings, model folders and windows that cannot be used: one clear line before any work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Rows = Callable[..., list[dict[str, Any]]]


def refused(done: Any, results: Any, *said: str) -> None:
    assert done.status == 2
    for part in said:
        assert part in done.complaint
    assert not results.cells()


# --- datasets -----------------------------------------------------------------------------------------------------


def with_line(rows: list[Any], number: int, line: Any) -> list[Any]:
    return [*rows[: number - 1], line, *rows[number:]]


FAULTS = [
    ("malformed", '{"id": "train-4", ', ["train.jsonl, line 5", "not a JSON object"]),
    ("no object", "[1, 2]", ["train.jsonl, line 5", "list"]),
    ("not a number", '{"id": "x", "question": "q", "answer": NaN}', ["train.jsonl, line 5", "NaN", "null"]),
    ("no question", {"id": "x", "answer": "3"}, ["line 5", "'question' must be a text"]),
    ("empty id", {"id": "", "question": "q", "answer": "3"}, ["line 5", "'id' must be a text"]),
    ("list as answer", {"id": "x", "question": "q", "answer": [3]}, ["line 5", "'answer'", "[3]"]),
    ("same id", {"id": "train-1", "question": "q", "answer": "3"}, ["line 5", "'train-1'", "line 2"]),
    ("no list", {"id": "x", "question": "q", "answer": "3", "choices": "3"}, ["line 5", "'choices'"]),
    (
        "answer not among the choices",
        {"id": "x", "question": "q", "answer": "c", "choices": ["a", "b"]},
        ["line 5", "answer 'c' is not among the choices ['a', 'b']"],
    ),
    (
        "answer is no number",
        {"id": "x", "question": "q", "answer": "a few"},
        ["train.jsonl, line 5", "'a few'", "'x'", "generated_answer"],
    ),
]


@pytest.mark.parametrize(("line", "said"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_wrong_row(
    line: Any, said: list[str], command: Run, write_svamp: Run, sum_rows: Rows, results: Any, tmp_path: Path
) -> None:
    overrides = write_svamp(tmp_path / "data", train=with_line(sum_rows("train", 24), 5, line))
    refused(command(*overrides), results, *said)


def test_a_missing_file_says_what_is_there(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data", test=None)
    refused(command(*overrides), results, "test.jsonl does not exist", "train.jsonl")


def test_an_empty_file(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    refused(command(*write_svamp(tmp_path / "data", train=[])), results, "train.jsonl is empty")


def test_a_missing_folder(command: Run, results: Any) -> None:
    refused(command("dataset=esnli", "teacher=palm540b"), results, "dataset=esnli", "data_dir=PATH")
    done = command("dataset=svamp", "teacher=palm540b", "data_dir=nowhere")
    refused(done, results, "nowhere/svamp/train.jsonl does not exist")


def test_no_folder_and_no_network(command: Run, results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    from benchmark.tasks import hub

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    hub._fetch.cache_clear()
    refused(command("dataset=svamp", "teacher=palm540b"), results, "ChilleD/SVAMP", "no route", "data_dir=PATH")


def test_one_id_or_one_question_in_two_splits(
    command: Run, write_svamp: Run, sum_rows: Rows, results: Any, tmp_path: Path
) -> None:
    [row] = sum_rows("train", 1)
    overrides = write_svamp(tmp_path / "id", test=[*sum_rows("test", 3, start=50), row | {"question": "What is 1+1?"}])
    refused(command(*overrides), results, "'train-0'", "test")
    overrides = write_svamp(tmp_path / "question", test=[*sum_rows("test", 3, start=50), row | {"id": "new"}])
    refused(command(*overrides), results, "Ann has 0 apples", "test")


def test_a_file_that_is_no_utf8(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data")
    with (tmp_path / "data" / "svamp" / "train.jsonl").open("ab") as file:
        file.write(b'{"id": "x", "question": "caf\xe9", "answer": "3"}\n')
    refused(command(*overrides), results, "train.jsonl")


def test_more_rows_than_there_are(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data")
    refused(command(*overrides, "dataset.test_size=9"), results, "dataset.test_size=9", "8 rows")
    refused(command(*overrides, "dataset.validation_size=24"), results, "dataset.validation_size=24", "24 rows")


def test_rows_that_cannot_be_carved_or_grouped(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data")
    done = command(*overrides, "dataset.test=null", "dataset.test_size=24")
    refused(done, results, "dataset.test_size=24", "24 rows of svamp/train")
    refused(command(*overrides, "dataset.test=null"), results, "give test")
    refused(command(*overrides, "dataset.together='(Bo has .*)'"), results, "finds nothing in the question of 't")
    refused(command(*overrides, "dataset.together='Ann has .*'"), results, "a regular expression with one group")
    refused(command(*overrides, "+dataset.hub.parsr=x"), results, "dataset.hub.parsr", "did you mean 'parser'?")


def test_human_rationales_that_a_dataset_lacks(
    command: Run, write_svamp: Run, sum_rows: Rows, results: Any, tmp_path: Path
) -> None:
    overrides = write_svamp(tmp_path / "data", train=[row | {"rationale": None} for row in sum_rows("train", 24)])
    refused(command(*overrides, "method=human_rationale"), results, "human rationales", "the dataset has none")


# --- teachers -----------------------------------------------------------------------------------------------------


def test_a_simulated_teacher_on_a_real_dataset(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data")
    refused(command(*overrides, "teacher=simulated"), results, "teacher=simulated", "dataset=svamp", "recorded")


def test_a_missing_recording(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data", teacher=None)
    refused(command(*overrides), results, "teacher_palm540b.jsonl does not exist")


def test_a_malformed_recording(command: Run, write_svamp: Run, results: Any, tmp_path: Path) -> None:
    spoken = {"id": "train-0", "rationale": "r", "answer": "2"}
    overrides = write_svamp(tmp_path / "broken", teacher=[spoken, "{"])
    refused(command(*overrides), results, "teacher_palm540b.jsonl, line 2", "not a JSON object")
    overrides = write_svamp(tmp_path / "twice", teacher=[spoken, spoken])
    refused(command(*overrides), results, "teacher_palm540b.jsonl, line 2", "'train-0' is there twice")


def test_a_recording_that_does_not_cover_the_pool(
    command: Run, cell: Run, write_svamp: Run, sum_rows: Rows, results: Any, tmp_path: Path
) -> None:
    rows = sum_rows("train", 24)
    known = {row["id"] for row in rows[:14]}
    spoken = [{"id": row["id"], "rationale": row["rationale"], "answer": row["answer"]} for row in rows[:14]]
    overrides = write_svamp(tmp_path / "data", teacher=spoken)
    pool = cell(overrides).dataset.load().pool
    missing = sum(row.id not in known for row in pool)
    done = command(*overrides)
    refused(done, results, f"teacher=palm540b does not cover {missing} of the 20 ids", f"the {20 - missing} that")
    assert "pool=covered" in done.complaint

    assert command(*overrides, "pool=covered").status == 0
    record = results.record()
    annotated = results.table(record["cell_id"], "annotations")
    assert record["rounds"][0]["annotated"] == 8
    assert set(annotated["question_id"]) <= known
    done = command(*overrides, "pool=covered", "budget.questions=20")
    assert f"budget.questions=20, but the pool has {20 - missing} questions" in done.complaint


def test_a_teacher_that_is_not_asked_need_not_cover(
    command: Run, write_svamp: Run, results: Any, tmp_path: Path
) -> None:
    overrides = write_svamp(tmp_path / "data", teacher=None)
    assert command(*overrides, "method=gold_answers").status == 0
    assert results.record()["teacher"] is None


WRONG_REPLIES = [
    ("answer", '{"id": "train-4", "rationale": "r", "answer": ["6"]}', ["'answer'", "['6']"]),
    ("rationale", '{"id": "train-4", "rationale": {"steps": 2}, "answer": "6"}', ["'rationale'", "{'steps': 2}"]),
    ("sample", '{"id": "train-4", "rationale": "r", "answer": "6", "sample": true}', ["'sample'", "True"]),
    ("half a character", '{"id": "train-4", "rationale": "so \\ud83d", "answer": "6"}', ["'rationale'", "'\\ud83d'"]),
    ("no number", '{"id": "train-4", "rationale": "r", "answer": NaN}', ["NaN", "null"]),
]


@pytest.mark.parametrize(("line", "said"), [fault[1:] for fault in WRONG_REPLIES], ids=[f[0] for f in WRONG_REPLIES])
def test_a_wrong_line_of_a_recording_is_named_in_the_plan(
    line: str, said: list[str], command: Run, write_svamp: Run, sum_rows: Rows, results: Any, tmp_path: Path
) -> None:
    spoken = [{"id": row["id"], "rationale": "r", "answer": row["answer"]} for row in sum_rows("train", 24)]
    overrides = write_svamp(tmp_path / "data", teacher=with_line(spoken, 5, line))
    refused(command(*overrides, "mode=plan"), results, "teacher_palm540b.jsonl, line 5", *said)


def test_a_wrong_line_of_a_dataset_is_named_in_the_plan(
    command: Run, write_svamp: Run, sum_rows: Rows, results: Any, tmp_path: Path
) -> None:
    wrong = {"id": "x", "question": ["q"], "answer": "3"}
    overrides = write_svamp(tmp_path / "data", train=with_line(sum_rows("train", 24), 5, wrong))
    refused(command(*overrides, "mode=plan"), results, "train.jsonl, line 5", "'question'", "['q']")


# --- models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory, cell: Run) -> Path:
    """A complete Hugging Face folder of the tiny student."""
    folder = tmp_path_factory.mktemp("model")
    source = cell(()).student
    source.network(1).save_pretrained(folder)
    source.tokenizer().save_pretrained(folder)
    return folder


def pretrained(folder: object) -> tuple[str, ...]:
    return (
        "student=smollm2_135m",
        f"student.path={folder}",
        "student.max_length=192",
        "student.max_new_tokens=128",
        "optimization.max_steps=4",
    )


def test_a_model_folder_that_is_not_there(command: Run, results: Any) -> None:
    refused(command(*pretrained("./nowhere")), results, "student.path=./nowhere", "no such folder")


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "without tokenizer.json"),
        ("tokenizer_config.json", "without tokenizer_config.json"),
        pytest.param(
            "model.safetensors",
            "no *.safetensors weights",
        ),
    ],
)
def test_a_model_folder_with_a_part_missing(
    lost: str, said: str, command: Run, model_folder: Path, results: Any, tmp_path: Path, miniature: tuple[str, ...]
) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    (tmp_path / "model" / lost).unlink()
    done = command(*miniature, *pretrained("model"))
    refused(done, results, "student.path=model", said)
    assert command("-m", *miniature, *pretrained("model"), "seed=1,2").status == 2
    assert not results.cells()


def test_no_model_at_all(command: Run, results: Any) -> None:
    refused(command(*pretrained("null")), results, "student.path=FOLDER")


def test_a_hub_id_without_a_network(command: Run, results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    done = command(*pretrained("someone/some-model"))
    refused(done, results, "student.path=someone/some-model", "without a network", "student.path=FOLDER")


def test_a_model_folder_works(command: Run, model_folder: Path, results: Any, miniature: tuple[str, ...]) -> None:
    done = command(*miniature, *pretrained(model_folder), "optimization.precision=32-true")
    assert done.status == 0, done.err
    assert results.record()["student"] == "smollm2_135m"


# --- windows ------------------------------------------------------------------------------------------------------


def test_prompts_longer_than_the_window_are_counted(command: Run, miniature: tuple[str, ...]) -> None:
    done = command(*miniature, "student.max_length=18", "budget.questions=8")
    assert done.status == 2
    message = done.err.splitlines()[-1]
    assert message.startswith("error: rationale_then_answer on chain_sum: 64 prompts are longer than 2 tokens")
    assert "student.overlong=truncate" in message


def test_prompts_longer_than_the_window_are_refused_before_any_work(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    refused(command(*miniature, "student.max_length=18"), results, "64 prompts are longer")


def test_a_window_too_small_stops_the_whole_sweep(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    refused(command("-m", *miniature, "student.max_length=192,18"), results, "student.max_length=18")


def overlong(cell: Any, limit: int) -> tuple[int, int]:
    """How many prompts of (validation, test) are longer than `limit` tokens; characters, BOS and the line's end."""
    splits = cell.dataset.load()
    splits.test.unseal()
    validation, test = (
        [len(row.question) + 2 > limit for row in rows] for rows in (splits.validation, splits.test.open())
    )
    return sum(validation), sum(test)


def test_prompts_longer_than_the_window_can_be_cut(
    command: Run, cell: Run, miniature: tuple[str, ...], results: Any
) -> None:
    overrides = (*miniature, "student.max_length=11", "student.max_new_tokens=1", "student.overlong=truncate")
    done = command(*overrides)
    assert done.status == 0, done.err
    validation, test = overlong(cell(overrides), 10)
    assert test > 0
    assert results.record()["counters"]["truncated_prompts"] == validation + test


def test_cut_prompts_are_those_that_would_be_refused(
    command: Run, cell: Run, miniature: tuple[str, ...], results: Any
) -> None:
    overrides = (*miniature, "student.max_length=26", "student.overlong=truncate")
    assert command(*overrides).status == 0
    validation, test = overlong(cell(overrides), 10)
    assert results.record()["counters"].get("truncated_prompts") == validation + test
