"""Datasets of the hub, without a network: `load_dataset` also reads a folder of Parquet or JSON lines files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.config import build
from benchmark.errors import DataError
from benchmark.tasks import hub
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.hub import HubSource
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.types import Example

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
Rows = Sequence[Mapping[str, Any]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub._fetch.cache_clear()
    yield
    hub._fetch.cache_clear()


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Writes the splits of a dataset as Parquet, as they lie on the hub; returns the path of its folder."""

    def write(**splits: Rows) -> str:
        import datasets

        folder = tmp_path / "published"
        folder.mkdir()
        for name, rows in splits.items():
            datasets.Dataset.from_list([dict(row) for row in rows]).to_parquet(folder / f"{name}.parquet")
        files = [{"split": name, "path": f"{name}.parquet"} for name in splits]
        card = yaml.safe_dump({"configs": [{"config_name": "plain", "data_files": files}]})
        (folder / "README.md").write_text(f"---\n{card}---\n")
        return str(folder)

    return write


def from_conf(name: str, path: str, **changes: Any) -> JsonlDataset:
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    built = build({**node, "data_dir": None}, "dataset", Dataset)
    assert isinstance(built, JsonlDataset)
    assert built.hub is not None
    return replace(built, hub=replace(built.hub, path=path, name=None, revision="main"), **changes)


def gsm8k(number: int) -> dict[str, str]:
    return {
        "question": f"Ann has {number} bags of 1,000 nuts. How many nuts?",
        "answer": f"She has {number}*1000=<<{number}*1000={number}000>>{number}000 nuts.\n#### {number},000",
    }


def test_gsm8k_becomes_what_lies_in_the_folder(publish: Callable[..., str]) -> None:
    path = publish(train=[gsm8k(n) for n in range(1, 9)], test=[gsm8k(n) for n in range(20, 23)])
    dataset = from_conf("gsm8k", path, validation_size=2)
    splits = dataset.load()
    splits.test.unseal()
    assert (len(splits.pool), len(splits.validation), len(splits.test)) == (6, 2, 3)
    assert splits.test.open()[1] == Example(
        id="gsm8k-test-00001",
        question="Ann has 21 bags of 1,000 nuts. How many nuts?",
        answer="21000",
        rationale="She has 21*1000=<<21*1000=21000>>21000 nuts.",
    )


def test_the_same_rows_from_hub_and_folder_are_the_same_dataset(publish: Callable[..., str], tmp_path: Path) -> None:
    """The id of a cell must not depend on where its rows came from."""
    published = {"train": [gsm8k(n) for n in range(1, 9)], "test": [gsm8k(n) for n in range(20, 23)]}
    online = from_conf("gsm8k", publish(**published), validation_size=2)
    (tmp_path / "gsm8k").mkdir()
    for split in published:
        rows = [
            {"id": row.id, "question": row.question, "answer": row.answer, "rationale": row.rationale}
            for row in online.read(split)
        ]
        (tmp_path / "gsm8k" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    offline = replace(online, data_dir=str(tmp_path))
    assert offline.fingerprint() == online.fingerprint()
    assert offline.load().pool == online.load().pool


def test_the_folder_is_used_where_one_is_given(publish: Callable[..., str], tmp_path: Path) -> None:
    path = publish(train=[gsm8k(n) for n in range(1, 9)], test=[gsm8k(9)])
    with pytest.raises(DataError, match=r"train\.jsonl does not exist"):
        from_conf("gsm8k", path, data_dir=str(tmp_path / "absent")).load()


def test_commonsense_qa(publish: Callable[..., str]) -> None:
    def row(number: int) -> dict[str, Any]:
        texts = [f"place {number}{letter}" for letter in "abcde"]
        choices = {"label": list("ABCDE"), "text": texts}
        question = f"Where is thing {number}?"
        return {"id": f"q{number}", "question": question, "choices": choices, "answerKey": "ABCDE"[number % 5]}

    path = publish(train=[row(n) for n in range(8)], validation=[row(n) for n in range(10, 13)])
    splits = from_conf("commonsense_qa", path, validation_size=2).load()
    splits.test.unseal()
    first = splits.test.open()[0]
    assert (first.id, first.question, first.answer) == ("q10", "Where is thing 10?", "place 10a")
    assert first.choices == ("place 10a", "place 10b", "place 10c", "place 10d", "place 10e")
    assert (len(splits.pool), len(splits.validation), len(splits.test)) == (6, 2, 3)


def test_svamp(publish: Callable[..., str]) -> None:
    def row(number: int) -> dict[str, str]:
        body, question = f"Bo has {number} pens and gets 2", "How many has he now?"
        return {"ID": f"chal-{number}", "Body": body, "Question": question, "Equation": "x", "Answer": f"{number + 2}"}

    path = publish(train=[row(n) for n in range(9)], test=[row(n) for n in range(9, 12)])
    splits = from_conf("svamp", path, validation_size=3).load()
    splits.test.unseal()
    assert splits.test.open()[0] == Example(
        "svamp-chal-9", "Bo has 9 pens and gets 2\nHow many has he now?", "11", rationale="x"
    )


@pytest.mark.parametrize("facts", [["One.", "Two."], "One. Two."])
def test_strategyqa(publish: Callable[..., str], facts: Any) -> None:
    def row(number: int) -> dict[str, Any]:
        return {"qid": f"a{number}", "question": f"Is {number} odd?", "answer": number % 2 == 1, "facts": facts}

    path = publish(train=[row(n) for n in range(9)], test=[row(n) for n in range(9, 12)])
    splits = from_conf("strategyqa", path, validation_size=3).load()
    splits.test.unseal()
    assert splits.test.open()[0] == Example("strategyqa-a9", "Is 9 odd?", "yes", ("yes", "no"), "One. Two.")
    assert splits.test.open()[1].answer == "no"


def anli_row(premise: int, label: int = 0, split: str = "") -> dict[str, Any]:
    uid = f"u{premise}{label}{split}"
    return {
        "uid": uid,
        "premise": f"Scene {premise}.",
        "hypothesis": f"Guess {label}{split}.",
        "label": label,
        "reason": "",
    }


def test_anli_by_its_validation_split_and_by_the_published_protocol(publish: Callable[..., str]) -> None:
    dev = [anli_row(premise, label) for premise in range(6) for label in range(3)]
    path = publish(
        train_r1=[anli_row(premise, 0) for premise in range(200, 210)],
        dev_r1=dev,
        test_r1=[anli_row(5, 1, "t"), anli_row(100, 2, "t")],
    )
    splits = from_conf("anli", path, validation_size=6).load()
    splits.test.unseal()
    assert (len(splits.pool), len(splits.validation), len(splits.test), splits.left_out) == (9, 6, 2, 3)
    assert splits.test.open()[1].answer == "contradiction"
    assert splits.test.open()[1].question == "Premise: Scene 100.\nHypothesis: Guess 2t."
    full = from_conf("anli", path, pool="train", validation="validation", validation_size=None).load()
    assert (len(full.pool), len(full.validation), full.left_out) == (10, 15, 3)


# --- what cannot be read ---------------------------------------------------------------------------------------------


def source(path: str, **changes: Any) -> HubSource:
    columns = {"id": "{split}-{row}", "question": "question", "answer": "answer"}
    return HubSource(**{"path": path, "columns": columns, **changes})


def read(path: str, **changes: Any) -> tuple[Example, ...]:
    from benchmark.tasks.generated_answer import GeneratedAnswer

    chosen = source(path, **changes)
    return JsonlDataset("sums", "sums", GeneratedAnswer(), (), hub=chosen, validation_size=1).read("train")


def refused(path: str, **changes: Any) -> str:
    with pytest.raises(DataError) as refusal:
        read(path, **changes)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_split_that_is_not_there(publish: Callable[..., str]) -> None:
    path = publish(test=[{"question": "1+1", "answer": "2"}])
    assert refused(path) == f"{path} on the hub has no split 'train'; it has test"


def test_a_column_that_is_not_there(publish: Callable[..., str]) -> None:
    path = publish(train=[{"question": "1+1", "answer": "2"}])
    said = refused(path, columns={"id": "{row}", "question": "text", "answer": "answer"})
    assert "split train, row 0: there is no column 'text'; its columns are question, answer" in said
    said = refused(path, columns={"id": "{row}", "question": "Q: {text}", "answer": "answer"})
    assert "there is no column 'Q: {text}'" in said


def test_a_row_that_is_wrong_is_named_as_a_line_would_be(publish: Callable[..., str]) -> None:
    path = publish(train=[{"question": "1+1", "answer": "2"}, {"question": "1+2", "answer": None}])
    assert "split train, row 1: 'answer' must be a text that is not empty, but is None" in refused(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "q", "answer": float("nan")}, "'answer' must be a text, a number, true or false, but is nan"),
        (
            {"question": "q", "answer": ["1", "2"]},
            "'answer' must be a text, a number, true or false, but is ['1', '2']",
        ),
        ({"question": ["1+1", "?"], "answer": "2"}, "'question' must be a text that is not empty, but is ['1+1', '?']"),
        ({"question": 7, "answer": "2"}, "'question' must be a text that is not empty, but is 7"),
        (
            {"question": "q", "answer": "2", "context": ["a", "b"]},
            "'context' must be a text or null, but is ['a', 'b']",
        ),
        ({"question": "q", "answer": "2", "context": float("nan")}, "'context' must be a text or null, but is nan"),
        ({"question": "q", "answer": "2", "rationale": [1, 2]}, "'rationale' must be a text, null or a list of texts"),
        ({"question": "q", "answer": "2", "choices": ["2", ""]}, "each of 'choices' must be a text that is not blank"),
        ({"question": "q", "answer": "2", "choices": [2.0, float("nan")]}, "each of 'choices' must be"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_and_not_made_a_text(
    publish: Callable[..., str], row: dict[str, Any], said: str
) -> None:
    path = publish(train=[row])
    columns = {"id": "{row}"} | {name: name for name in row}
    assert f"split train, row 0: {said}" in refused(path, columns=columns)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"answer": 2}, Example("0", "q", "2")),
        ({"answer": 2.0}, Example("0", "q", "2")),
        ({"answer": 0.5}, Example("0", "q", "0.5")),
        ({"answer": True}, Example("0", "q", "true")),
        ({"answer": True, "choices": ["no", "yes"]}, Example("0", "q", "yes", ("no", "yes"))),
        ({"answer": 7, "choices": [7, 8]}, Example("0", "q", "7", ("7", "8"))),
        ({"answer": "B", "choices": {"label": ["A", "B"], "text": ["x", "y"]}}, Example("0", "q", "y", ("x", "y"))),
        ({"answer": "2", "rationale": ["1+1=2", "2=2"]}, Example("0", "q", "2", rationale="1+1=2;2=2")),
        ({"answer": "2", "rationale": None, "context": None}, Example("0", "q", "2")),
    ],
)
def test_columns_are_read_like_fields_of_a_file(
    publish: Callable[..., str], row: dict[str, Any], expected: Example
) -> None:
    path = publish(train=[{"question": "q"} | row])
    columns = {"id": "{row}", "question": "question"} | {name: name for name in row}
    assert read(path, columns=columns) == (expected,)


@pytest.mark.parametrize(
    ("column", "key"), [("idx", "17"), ("{idx}", "17"), ("x-{idx:04d}", "x-0017"), ("{half}", "0.5")]
)
def test_ids_may_be_made_of_numbers(publish: Callable[..., str], column: str, key: str) -> None:
    path = publish(train=[{"idx": 17, "half": 0.5, "question": "q", "answer": "2"}])
    [row] = read(path, columns={"id": column, "question": "question", "answer": "answer"})
    assert row.id == key


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "None"), (float("nan"), "nan"), (["a", "b"], "['a', 'b']"), (True, "True")]
)
def test_a_text_with_columns_takes_texts_and_numbers_only(publish: Callable[..., str], value: Any, shown: str) -> None:
    path = publish(train=[{"scene": value, "question": "q", "answer": "2"}])
    said = refused(path, columns={"id": "{row}", "question": "{scene}: {question}", "answer": "answer"})
    assert "'question' cannot be made of '{scene}: {question}'" in said
    assert f"holds {shown}, which is neither a text nor a number" in said


def test_ids_that_repeat(publish: Callable[..., str]) -> None:
    path = publish(train=[{"question": "1+1", "answer": "2"}, {"question": "1+2", "answer": "3"}])
    said = refused(path, columns={"id": "{split}", "question": "question", "answer": "answer"})
    assert "row 1: id 'train' was already used in" in said


@pytest.mark.parametrize(
    ("parser", "row", "said"),
    [
        ("grade_school_math", {"answer": "It is 2."}, "no #### in the answer"),
        ("grade_school_math", {"solution": "#### 2"}, "its columns are"),
        ("lettered_choices", {"choices": {"label": ["A"], "text": ["x"]}, "answerKey": "B"}, "row 0"),
        ("lettered_choices", {"choices": {"label": ["A"], "text": ["x"]}, "answerKey": ""}, "row 0"),
        ("lettered_choices", {"choices": ["x"], "answerKey": "A"}, "row 0"),
        ("entailment_label", {"label": -1}, "label -1"),
        ("entailment_label", {"label": 3}, "row 0"),
        ("yes_or_no", {"answer": "true"}, "neither true nor false"),
    ],
)
def test_a_row_that_its_parser_cannot_read(
    publish: Callable[..., str], parser: str, row: dict[str, Any], said: str
) -> None:
    path = publish(train=[{"question": "q", **row}])
    message = refused(path, columns={"id": "{row}", "question": "question"}, parser=parser)
    assert f"row 0: parser {parser} cannot read it" in message
    assert said in message


def test_a_parser_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="'nonsense' does not exist; valid: grade_school_math, lettered_choices"):
        source("x", parser="nonsense")


def test_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    said = refused(str(tmp_path / "nowhere"))
    assert "cannot be read from the hub now" in said
    assert "data_dir=PATH" in said


def test_it_is_fetched_once_for_all_splits_and_cells(
    publish: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    path = publish(train=[gsm8k(n) for n in range(1, 9)], test=[gsm8k(20)])
    calls, real = [], datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: calls.append((a, k)) or real(*a, **k))
    dataset = from_conf("gsm8k", path, validation_size=2)
    dataset.load()
    replace(dataset, split_seed=3).load()
    assert calls == [((path, None), {"revision": "main"})]
