"""Every dataset of the data folder: the rows of its splits, that none leaks, and what its recorded teachers score."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.config import build
from benchmark.evaluation.leaks import pool_overlap
from benchmark.evaluation.reference import teacher_accuracy
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.json_lines import read_json_lines
from benchmark.tasks.jsonl import JsonlDataset, read_examples
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.recorded import RecordedTeacher
from benchmark.teachers.replies import split_answer
from benchmark.teachers.teacher import Teacher
from benchmark.types import Example

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "cqa" / "train.jsonl").is_file(), reason=f"no data in {DATA}"),
]

ROWS = {
    "anli": (592, 100, 1000),
    "commonsense_qa": (8767, 974, 1221),
    "dolly": (4000, 500, 500),
    "esnli": (4502, 498, 2000),
    "grade_school_resplit": (800, 200, 319),
    "gsm8k": (6726, 747, 1319),
    "self_instruct_eval": (4000, 500, 252),
    "strategyqa": (1855, 206, 229),
    "svamp": (720, 80, 200),
}
"""Rows of pool, validation and test; docs/datasets.md says the same."""
NLI = ("anli", "esnli")
GRADED = ("dolly", "self_instruct_eval")


def option(group: str, name: str, expected: Any) -> Any:
    node = yaml.safe_load((ROOT / "conf" / group / f"{name}.yaml").read_text(encoding="utf-8"))
    return build({**node, "data_dir": str(DATA)}, group, expected)


@cache
def dataset(name: str) -> JsonlDataset:
    if name in GRADED:
        pytest.importorskip("rouge_score")
    built = option("dataset", name, Dataset)
    assert isinstance(built, JsonlDataset)
    return built


@cache
def parts(name: str, **changes: Any) -> dict[str, tuple[Example, ...]]:
    splits = replace(dataset(name), **changes).load()
    splits.test.unseal()
    return {"pool": splits.pool, "validation": splits.validation, "test": splits.test.open()}


def letters(text: str) -> str:
    """What is left of a question for comparison: letters and digits only."""
    return "".join(c for c in text.casefold() if c.isalnum())


def premise(row: Example) -> str:
    return letters(row.question.removeprefix("Premise: ").partition("\nHypothesis: ")[0])


def test_every_dataset_of_the_folder_is_counted() -> None:
    stored = {path.stem for path in (ROOT / "conf" / "dataset").glob("*.yaml") if "data_dir:" in path.read_text()}
    assert stored == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_each_split(name: str) -> None:
    assert tuple(len(rows) for rows in parts(name).values()) == ROWS[name]
    assert dataset(name).load().left_out == (308 if name == "anli" else 0)


@pytest.mark.parametrize("name", ROWS)
def test_no_id_and_no_question_is_in_two_splits(name: str) -> None:
    pool, validation, test = parts(name).values()
    for key in (lambda row: row.id, lambda row: letters(dataset(name).task.show(row.without_gold()))):
        of_pool, of_validation, of_test = ({key(row) for row in rows} for rows in (pool, validation, test))
        assert not of_pool & of_validation
        assert not of_pool & of_test
        assert not of_validation & of_test


@pytest.mark.parametrize("split_seed", [0, 1, 2])
@pytest.mark.parametrize("name", NLI)
def test_no_premise_is_in_two_splits(name: str, split_seed: int) -> None:
    pool, validation, test = ({premise(row) for row in rows} for rows in parts(name, split_seed=split_seed).values())
    assert not pool & validation
    assert not pool & test
    assert not validation & test


def test_what_is_left_out_of_anli_is_what_shares_a_premise_with_test() -> None:
    published = read_examples(DATA / "anli1" / "validation.jsonl")
    tested = {premise(row) for row in parts("anli")["test"]}
    shared = [row for row in published if premise(row) in tested]
    assert (len(shared), len({premise(row) for row in shared})) == (308, 274)
    kept = {row.id for split in ("pool", "validation") for row in parts("anli")[split]}
    assert kept == {row.id for row in published} - {row.id for row in shared}


@pytest.mark.parametrize("name", ["commonsense_qa", "strategyqa", "gsm8k", "grade_school_resplit"])
@pytest.mark.parametrize("split_seed", [1, 2, 3])
def test_no_split_seed_meets_a_repeated_question(name: str, split_seed: int) -> None:
    """CommonsenseQA and StrategyQA have a question twice in train; it is never on both sides."""
    other = parts(name, split_seed=split_seed)
    assert tuple(len(rows) for rows in other.values()) == ROWS[name]
    assert other["test"] == parts(name)["test"]
    assert other["validation"] != parts(name)["validation"]


@pytest.mark.parametrize("name", ROWS)
def test_no_exemplar_is_in_a_split(name: str) -> None:
    exemplars = dataset(name).exemplars
    assert len({exemplar.question for exemplar in exemplars}) == 4
    asked = {letters(row.question) for rows in parts(name).values() for row in rows}
    assert not asked & {letters(exemplar.question) for exemplar in exemplars}
    if name in NLI:
        premises = {premise(row) for rows in parts(name).values() for row in rows}
        assert not premises & {premise(Example("", exemplar.question, "")) for exemplar in exemplars}


@pytest.mark.parametrize("name", sorted(set(ROWS) - set(GRADED)))
def test_an_exemplar_is_answered_as_the_task_wants_it(name: str) -> None:
    task = dataset(name).task
    for exemplar in dataset(name).exemplars:
        gold = Example("exemplar", exemplar.question, exemplar.answer, exemplar.choices)
        assert task.is_correct(gold, task.parse(exemplar.as_question(), exemplar.answer))
        assert exemplar.rationale
    assert len({exemplar.answer for exemplar in dataset(name).exemplars}) >= 2


# --- teachers --------------------------------------------------------------------------------------------------------

# dataset, teacher, published file of questions, how many are covered, how many first samples are right, as in the
# data's README.
SCORES = [
    ("commonsense_qa", "palm540b", "train", 9741, 7344, "75.4%"),
    ("commonsense_qa", "palm540b", "validation", 1221, 959, "78.5%"),
    ("commonsense_qa", "llama3chatqa8b", "train", 9741, 6113, "62.8%"),
    ("commonsense_qa", "gpt3_shown_gold", "train", 991, 991, "100.0%"),
    ("commonsense_qa", "gpt3_shown_gold", "validation", 250, 250, "100.0%"),
    ("svamp", "palm540b", "train", 800, 585, "73.1%"),
    ("svamp", "palm540b", "test", 200, 148, "74.0%"),
    ("svamp", "llama3chatqa8b", "train", 800, 570, "71.2%"),
    ("svamp", "gpt35_correct_only", "train", 529, 529, "100.0%"),
    ("svamp", "gpt35_correct_only", "test", 122, 122, "100.0%"),
    ("svamp", "mentor_t5large", "train", 564, 410, "72.7%"),
    ("svamp", "mentor_t5large", "test", 136, 90, "66.2%"),
    ("anli", "palm540b", "validation", 1000, 668, "66.8%"),
    ("anli", "palm540b", "test", 1000, 656, "65.6%"),
    ("esnli", "palm540b", "validation", 5000, 3674, "73.5%"),
    ("esnli", "palm540b", "test", 2000, 1474, "73.7%"),
    ("strategyqa", "gpt35_instruct_correct_only", "train", 1338, 1338, "100.0%"),
    ("strategyqa", "gpt35_instruct_correct_only", "validation", 158, 158, "100.0%"),
    ("grade_school_resplit", "gpt3_175b_verification", "test", 1319, 742, "56.3%"),
    ("grade_school_resplit", "gpt3_175b_finetuning", "test", 1319, 458, "34.7%"),
    ("grade_school_resplit", "gpt3_6b_verification", "test", 1319, 515, "39.0%"),
    ("grade_school_resplit", "gpt3_6b_finetuning", "test", 1319, 286, "21.7%"),
]


def teacher(name: str) -> RecordedTeacher:
    built = option("teacher", name, Teacher)
    assert isinstance(built, RecordedTeacher)
    return built


def published(name: str, file: str) -> tuple[Example, ...]:
    """The rows of a published file, whichever split they are in."""
    return read_examples(dataset(name).path(file))


@pytest.mark.parametrize(("name", "who", "file", "covered", "right", "percent"), SCORES)
def test_a_teacher_scores_as_published(name: str, who: str, file: str, covered: int, right: int, percent: str) -> None:
    """By our template and parser."""
    made = replace(dataset(name), together=None)  # nothing is left out: the published number counts all rows of ANLI
    rows = published(name, file)
    measured = teacher_accuracy(teacher(who).open(made), made, PromptLibrary(), rows)
    assert measured is not None
    assert (measured["n"], round(measured["value"] * measured["n"])) == (covered, right)
    assert f"{measured['value']:.1%}" == percent


@pytest.mark.parametrize(("file", "asked", "percent"), [("train", 1692, "74.0%"), ("test", 408, "66.9%")])
def test_the_mentor_scores_as_published_over_its_three_samples(file: str, asked: int, percent: str) -> None:
    made = dataset("svamp")
    door, right, said = teacher("mentor_t5large").open(made), 0, 0
    for row in published("svamp", file):
        if not door.covers(row.id):
            continue
        request = PromptLibrary().render("few_shot_cot", row.without_gold(), made)
        for reply in asyncio.run(door.reply(request, 3)):
            _, answer = split_answer(reply.text)
            right += made.task.is_correct(row, answer and made.task.parse(row.without_gold(), answer))
            said += 1
    assert (said, f"{right / said:.1%}") == (asked, percent)


def test_the_greedy_explanation_comes_first() -> None:
    made = dataset("commonsense_qa")
    door = teacher("gpt3_shown_gold").open(made)
    greedy = {}
    for _, line in read_json_lines(DATA / "cqa" / "teacher_gpt3_goldhint.jsonl"):
        if line["sample"] == "greedy":
            greedy[line["id"]] = line["rationale"]
    asked = Counter[str]()
    for row in published("commonsense_qa", "validation"):
        if door.covers(row.id):
            request = PromptLibrary().render("few_shot_cot", row.without_gold(), made)
            [reply] = asyncio.run(door.reply(request, 1))
            asked[split_answer(reply.text)[0] == (greedy[row.id].strip() or None)] += 1
    assert asked == {True: 250}


def test_no_recorded_teacher_answers_the_training_questions_of_gsm8k() -> None:
    door = teacher("gpt3_175b_verification").open(dataset("gsm8k"))
    assert not any(door.covers(row.id) for split in ("pool", "validation") for row in parts("gsm8k")[split])


def test_rouge_l_of_text_davinci_003_on_self_instruct() -> None:
    """33.0, as the data's README has it (there, of the first 400 tokens)."""
    made = dataset("self_instruct_eval")
    rows = {row.id: row for row in parts("self_instruct_eval")["test"]}
    answers = read_json_lines(DATA / "self_instruct_eval" / "teacher_textdavinci003.jsonl")
    grades = [made.task.grade(rows[line["id"]], line["answer"] or None) for _, line in answers]
    assert (len(grades), f"{100 * sum(grades) / len(grades):.1f}") == (252, "33.0")


# --- leaks -----------------------------------------------------------------------------------------------------------

LEAKS = [
    tuple(part.strip("` ") for part in line.strip("| ").split("|"))
    for line in (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| `\w+` \| `\w+` \|( [\d,.]+ \|){6}$", line)
]


@cache
def gsm_symbolic() -> Dataset:
    node = yaml.safe_load((ROOT / "conf" / "dataset" / "gsm_symbolic.yaml").read_text(encoding="utf-8"))
    built: Dataset = build(node, "dataset", Dataset)
    return built


@pytest.mark.parametrize("row", LEAKS, ids=[f"{pool}-{tested}" for pool, tested, *_ in LEAKS])
def test_what_the_page_says_of_leaks(row: tuple[str, ...]) -> None:
    if "gsm_symbolic" in row:
        pytest.importorskip("reasoning_gym")
    own, tested = (gsm_symbolic() if name == "gsm_symbolic" else dataset(name) for name in row[:2])
    found, questions = pool_overlap(own, tested), len(tested.load().test)
    counts = (questions, found.exact, found.near, found.any, found.short)
    assert row[2:] == (*(f"{count:,}" for count in counts), f"{100 * found.covered:.1f}")


def test_the_page_has_every_dataset_and_every_pair_that_shares_a_run_of_words() -> None:
    on_page = {row[:2] for row in LEAKS}
    for own in ROWS:
        for tested in ROWS:
            if own == tested or (own != "self_instruct_eval" and pool_overlap(dataset(own), dataset(tested)).any):
                assert (own, tested) in on_page or (own, tested) == ("dolly", "self_instruct_eval")


@pytest.mark.parametrize(
    ("name", "who", "near"),
    [("svamp", "llama3chatqa8b", 5), ("svamp", "palm540b", 4), ("anli", "palm540b", 0), ("esnli", "palm540b", 0)],
)
def test_what_teachers_add_to_the_leaks(name: str, who: str, near: int) -> None:
    splits, folder = dataset(name).load(), dataset(name).folder
    pool = {row.id: row.without_gold() for row in splits.pool}
    lines = read_json_lines(DATA / folder / f"teacher_{who}.jsonl")
    written = [line["rationale"] for _, line in lines if line["id"] in pool and line["rationale"]]
    found = splits.test.overlap(pool.values(), written)
    assert (found.exact, found.near) == (0, near)
