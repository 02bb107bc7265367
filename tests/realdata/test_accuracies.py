"""Every recorded teacher, through our templates and both readings: the accuracies that the data's README states."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import Task
from benchmark.evaluation.reading import Reading, read_both
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.jsonl import JsonlDataset, read_examples
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.recorded import RecordedTeacher
from benchmark.teachers.replies import before_next_exemplar, split_answer
from benchmark.types import Example

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "gsm8k" / "train.jsonl").is_file(), reason=f"no data in {DATA}"),
]

SPLITS = {
    "cqa": ("train", "validation"),
    "anli1": ("validation", "test"),
    "esnli": ("validation", "test"),
    "strategyqa": ("train", "validation"),
    "svamp": ("train", "test"),
    "gsm8k": ("train", "test"),
}
NUMERIC = frozenset({"svamp", "gsm8k"})


@dataclass(frozen=True)
class Published:
    """A line of the README's table: share of right rows in percent, rows, and rows without an answer.

    `flexible` is ours: the share where the answer is searched in the whole text.
    """

    dataset: str
    recording: str
    split: str
    rows: int
    accuracy: str
    unread: int
    flexible: str


PUBLISHED = (
    Published("cqa", "teacher_palm540b", "train", 9741, "75.4", 287, "75.5"),
    Published("cqa", "teacher_palm540b", "validation", 1221, "78.5", 25, "78.5"),
    Published("cqa", "teacher_llama3chatqa8b", "train", 9741, "62.8", 791, "63.2"),
    Published("cqa", "teacher_gpt3_goldhint", "train", 4955, "100.0", 0, "100.0"),
    Published("cqa", "teacher_gpt3_goldhint", "validation", 1250, "100.0", 0, "100.0"),
    Published("cqa", "human_ecqa", "train", 2904, "100.0", 0, "100.0"),
    Published("cqa", "human_ecqa", "validation", 369, "100.0", 0, "100.0"),
    Published("svamp", "teacher_palm540b", "train", 800, "73.1", 33, "73.4"),
    Published("svamp", "teacher_palm540b", "test", 200, "74.0", 7, "74.0"),
    Published("svamp", "teacher_llama3chatqa8b", "train", 800, "71.2", 0, "71.2"),
    Published("svamp", "teacher_mentor_t5large", "train", 1692, "74.0", 0, "74.0"),
    Published("svamp", "teacher_mentor_t5large", "test", 408, "66.9", 2, "66.9"),
    Published("svamp", "teacher_gpt35_correctonly", "train", 1587, "100.0", 0, "100.0"),
    Published("svamp", "teacher_gpt35_correctonly", "test", 366, "100.0", 0, "100.0"),
    Published("gsm8k", "teacher_gpt3_175b_finetuning", "test", 1319, "34.7", 7, "34.7"),
    Published("gsm8k", "teacher_gpt3_175b_verification", "test", 1319, "56.3", 1, "56.3"),
    Published("gsm8k", "teacher_gpt3_6b_finetuning", "test", 1319, "21.7", 6, "21.7"),
    Published("gsm8k", "teacher_gpt3_6b_verification", "test", 1319, "39.0", 1, "39.0"),
    Published("anli1", "teacher_palm540b", "validation", 1000, "66.8", 9, "66.8"),
    Published("anli1", "teacher_palm540b", "test", 1000, "65.6", 10, "65.6"),
    Published("esnli", "teacher_palm540b", "validation", 5000, "73.5", 2, "73.5"),
    Published("esnli", "teacher_palm540b", "test", 2000, "73.7", 0, "73.7"),
    Published("strategyqa", "teacher_gpt35instruct_correctonly", "train", 1338, "100.0", 0, "100.0"),
    Published("strategyqa", "teacher_gpt35instruct_correctonly", "validation", 158, "100.0", 0, "100.0"),
)


def dataset(name: str) -> JsonlDataset:
    """The dataset with a validation split carved from its first file, so that both files are wholly there."""
    pool, test = SPLITS[name]
    task: Task = GeneratedAnswer() if name in NUMERIC else MultipleChoice()
    exemplar = Exemplar("Two and two?", "2 + 2 = 4.", "4", None if name in NUMERIC else ("3", "4"))
    return JsonlDataset(name, name, task, (exemplar,), str(DATA), pool=pool, validation_size=50, test=test)


def rows_of(name: str, split: str) -> tuple[Example, ...]:
    return read_examples(DATA / name / f"{split}.jsonl")


@cache
def samples(name: str, recording: str) -> Counter[str]:
    lines = (DATA / name / f"{recording}.jsonl").read_text(encoding="utf-8").splitlines()
    return Counter(json.loads(line)["id"] for line in lines)


@cache
def readings(name: str, recording: str, split: str) -> tuple[Reading, ...]:
    """Every sample of every question of the split: asked with our template, answered by our door, read by our task."""
    of, prompts = dataset(name), PromptLibrary()
    door = RecordedTeacher(recording, recording=f"{recording}.jsonl", data_dir=str(DATA)).open(of)

    async def ask() -> list[Reading]:
        found = []
        for example in rows_of(name, split):
            count = samples(name, recording)[example.id]
            if count:
                replies = await door.reply(prompts.render("few_shot_cot", example.without_gold(), of), count)
                texts = [reply.text for reply in replies]
                found += [read_both(of.task, example, split_answer(t)[1], before_next_exemplar(t)) for t in texts]
        return found

    return tuple(asyncio.run(ask()))


def percent(right: int, rows: int) -> str:
    return f"{100 * right / rows:.1f}"


every_line = pytest.mark.parametrize(
    "line", PUBLISHED, ids=lambda line: f"{line.dataset}-{line.recording}-{line.split}"
)


@every_line
def test_a_recorded_teacher_scores_as_published(line: Published) -> None:
    read = readings(line.dataset, line.recording, line.split)
    assert len(read) == line.rows
    assert percent(sum(reading.correct for reading in read), line.rows) == line.accuracy
    assert sum(reading.answer is None for reading in read) == line.unread


@every_line
def test_a_recorded_teacher_read_flexibly_scores_as_documented(line: Published) -> None:
    read = readings(line.dataset, line.recording, line.split)
    assert percent(sum(reading.flexible_correct for reading in read), line.rows) == line.flexible
    assert all(reading.flexible_correct for reading in read if reading.correct)


def test_the_table_is_that_of_the_readme() -> None:
    """Every file whose teacher has an accuracy, and the numbers that stand there."""
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines() if line.startswith("| `")]
    stated = {
        (cells[0].strip("`"), cells[2], cells[3].replace(",", ""), cells[5], cells[6].replace(",", ""))
        for cells in lines
        if len(cells) == 7 and cells[5].endswith(" %")
    }
    ours = {
        (f"{line.dataset}/{line.recording}", line.split, str(line.rows), f"{line.accuracy} %", str(line.unread))
        for line in PUBLISHED
    }
    assert ours == stated


@pytest.mark.parametrize("split", ["train", "test"])
def test_gsm8k_gold_solutions_are_read_without_exception(split: str) -> None:
    """Written as upstream writes them: strictly behind the format's mark, flexibly in the whole text."""
    task, form = GeneratedAnswer(), RationaleThenAnswer(answer_marker="####")
    for example in rows_of("gsm8k", split):
        text = f"{example.rationale}\n#### {example.answer}"
        read = read_both(task, example, form.read(text)[1], text)
        assert read.correct
        assert task.is_correct(example, task.parse_flexibly(example.without_gold(), text))
        assert task.parse(example.without_gold(), text) is None


def test_most_gsm8k_gold_solutions_are_read_without_their_mark() -> None:
    """Flexibly, the last number of the reasoning is the answer, unless a sentence goes on behind it."""
    task, rows = GeneratedAnswer(), rows_of("gsm8k", "test")
    right = [task.is_correct(row, task.parse_flexibly(row.without_gold(), row.rationale or "")) for row in rows]
    assert percent(sum(right), len(rows)) == "97.3"


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_every_gold_answer_is_read_alone_by_its_letter_and_in_a_clause(name: str) -> None:
    task = dataset(name).task
    for split in SPLITS[name]:
        for row in rows_of(name, split):
            question = row.without_gold()
            assert task.is_correct(row, task.parse(question, row.answer))
            assert task.is_correct(row, task.parse_flexibly(question, f"I see. The answer is {row.answer}."))
            if row.choices:
                letter = "abcdefgh"[row.choices.index(row.answer)]
                for said in (f"({letter})", letter, f"{letter.upper()}.", f"({letter}) {row.answer}"):
                    assert row.answer in (task.parse(question, said), said)
