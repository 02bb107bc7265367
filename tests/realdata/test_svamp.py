"""Recorded teachers on SVAMP, through our template and parser: the numbers of the data's README to the question."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmark.config import build
from benchmark.evaluation.reference import teacher_accuracy
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.recorded import RecordedTeacher
from benchmark.teachers.replies import split_answer
from benchmark.types import Example

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "svamp" / "train.jsonl").is_file(), reason=f"no data in {DATA}"),
]


@pytest.fixture(scope="module")
def dataset() -> JsonlDataset:
    node = yaml.safe_load((ROOT / "conf" / "dataset" / "svamp.yaml").read_text())
    built = build({**node, "data_dir": str(DATA)}, "dataset", Dataset)
    assert isinstance(built, JsonlDataset)
    return built


@pytest.fixture(scope="module")
def splits(dataset: JsonlDataset) -> Splits:
    loaded = dataset.load()
    loaded.test.unseal()
    return loaded


def teacher(name: str) -> RecordedTeacher:
    return RecordedTeacher(name, str(DATA / "svamp" / f"teacher_{name}.jsonl"))


def train_rows(splits: Splits) -> tuple[Example, ...]:
    """The 800 questions of the published train split: our pool and the validation carved from it."""
    return (*splits.pool, *splits.validation)


def right_answers(name: str, dataset: JsonlDataset, rows: tuple[Example, ...]) -> tuple[int, int]:
    measured = teacher_accuracy(teacher(name).open(dataset), dataset, PromptLibrary(), rows)
    assert measured is not None
    assert measured["of"] == len(rows)
    return round(measured["value"] * measured["n"]), measured["n"]


def test_the_splits_have_the_published_sizes(splits: Splits) -> None:
    assert (len(splits.pool), len(splits.validation), len(splits.test)) == (720, 80, 200)
    ids = Counter(row.id for row in (*train_rows(splits), *splits.test.open()))
    assert len(ids) == 1000
    assert max(ids.values()) == 1


def test_no_question_is_in_two_splits(splits: Splits) -> None:
    def folded(rows: tuple[Example, ...]) -> set[str]:
        return {"".join(c for c in row.question.lower() if c.isalnum()) for row in rows}

    pool, validation, test = folded(splits.pool), folded(splits.validation), folded(splits.test.open())
    assert not pool & test
    assert not validation & test
    assert not pool & validation


def test_no_exemplar_is_in_a_split(dataset: JsonlDataset, splits: Splits) -> None:
    questions = {" ".join(row.question.split()) for row in (*train_rows(splits), *splits.test.open())}
    assert not questions & {" ".join(exemplar.question.split()) for exemplar in dataset.exemplars}


@pytest.mark.parametrize("name", ["palm540b", "llama3chatqa8b"])
def test_the_recordings_cover_every_training_question(name: str, dataset: JsonlDataset, splits: Splits) -> None:
    door = teacher(name).open(dataset)
    assert all(door.covers(row.id) for row in train_rows(splits))
    assert all(door.covers(row.id) for row in splits.test.open()) == (name == "palm540b")


def test_palm_scores_as_published(dataset: JsonlDataset, splits: Splits) -> None:
    right, asked = right_answers("palm540b", dataset, train_rows(splits))
    assert (asked, f"{right / asked:.1%}") == (800, "73.1%")
    right, asked = right_answers("palm540b", dataset, splits.test.open())
    assert (asked, f"{right / asked:.1%}") == (200, "74.0%")


def test_llama_scores_as_published(dataset: JsonlDataset, splits: Splits) -> None:
    right, asked = right_answers("llama3chatqa8b", dataset, train_rows(splits))
    assert (asked, f"{right / asked:.1%}") == (800, "71.2%")


@pytest.mark.parametrize("name", ["palm540b", "llama3chatqa8b"])
def test_what_is_parsed_is_what_was_recorded(name: str, dataset: JsonlDataset, splits: Splits) -> None:
    """Question by question: same answer, null stays unparsed, the rationale arrives whole.

    15 of Llama's end in `Hence, the answer is` or `Hence,`, which belongs to the clause and not to the reasoning.
    """
    recorded = {}
    for line in (DATA / "svamp" / f"teacher_{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        recorded[row["id"]] = row
    door = teacher(name).open(dataset)
    unread, led = 0, 0
    for example in train_rows(splits):
        request = PromptLibrary().render("few_shot_cot", example.without_gold(), dataset)
        [reply] = asyncio.run(door.reply(request, 1))
        rationale, said = split_answer(reply.text)
        answer = None if said is None else dataset.task.parse(example.without_gold(), said)
        expected = recorded[example.id]
        whole = expected["rationale"].strip()
        if rationale != (whole or None):
            assert re.fullmatch(
                r",? ?hence,?(?: the answer is)?", whole.removeprefix(rationale or "").strip(), re.IGNORECASE
            )
            led += 1
        if expected["answer"] is None:
            assert answer is None
            unread += 1
        else:
            assert answer is not None
            assert abs(float(answer) - float(expected["answer"])) <= 1e-4
    assert (unread, led) == ((33, 0) if name == "palm540b" else (0, 15))


def test_a_template_that_loses_the_question_scores_nothing(
    tmp_path: Path, dataset: JsonlDataset, splits: Splits
) -> None:
    (tmp_path / "few_shot_cot.j2").write_text("Q: {{ question.id }}\nA:")
    door = teacher("palm540b").open(dataset)
    measured = teacher_accuracy(door, dataset, PromptLibrary((tmp_path,)), splits.test.open())
    assert measured is not None
    assert measured["value"] == 0


def test_another_split_seed_carves_other_rows_and_leaves_the_test_alone(dataset: JsonlDataset, splits: Splits) -> None:
    other = replace(dataset, split_seed=1).load()
    other.test.unseal()
    assert other.test.open() == splits.test.open()
    assert {row.id for row in other.validation} != {row.id for row in splits.validation}
    assert {row.id for row in train_rows(other)} == {row.id for row in train_rows(splits)}
