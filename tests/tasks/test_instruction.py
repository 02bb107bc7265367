"""Instructions are graded by ROUGE-L; a task with a metric of its own is validated and recorded by it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import ConfigError
from benchmark.tasks.dataset import GradedTask
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.instruction import Instruction
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Example, Question

Run = Callable[..., Any]


@pytest.fixture
def task() -> Instruction:
    pytest.importorskip("rouge_score")
    return Instruction()


def reference(text: str) -> Example:
    return Example("x", "Say something.", text)


@pytest.mark.parametrize(
    ("gold", "said", "grade"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("The cat, sat!", "the CAT sat", 1.0),
        ("the cat sat", "a dog", 0.0),
        ("the cat sat", None, 0.0),
        ("the cat sat", "...", 0.0),
        ("a b c d", "a c", 2 * 1.0 * 0.5 / 1.5),  # precision 2/2, recall 2/4
        ("a b c", "c b a", 1 / 3),  # a longest common subsequence of one
        ("cats run", "cat runs", 0.0),  # no stemming
    ],
)
def test_rouge_l(task: Instruction, gold: str, said: str | None, grade: float) -> None:
    assert task.grade(reference(gold), said) == pytest.approx(grade)


def test_it_shows_the_instruction_before_its_input(task: Instruction) -> None:
    assert task.show(Question("x", "Shorten this.")) == "Shorten this."
    assert task.show(Question("x", "Shorten this.", context="A long text.")) == "Shorten this.\n\nA long text."


def test_it_takes_any_text_for_an_answer(task: Instruction) -> None:
    question = Question("x", "Say something.")
    assert task.parse(question, " 1. One\n2. Two\n") == "1. One\n2. Two"
    assert task.parse(question, " \n") is None
    assert task.is_correct(reference("One  two."), "One two.")
    assert not task.is_correct(reference("One two."), "one two")
    assert not task.is_correct(reference("One two."), None)


def test_only_it_is_graded(task: Instruction) -> None:
    assert isinstance(task, GradedTask)
    assert not isinstance(GeneratedAnswer(), GradedTask)
    assert not isinstance(MultipleChoice(), GradedTask)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.config import build

    monkeypatch.setattr("benchmark.tasks.rouge.absence", lambda name: "is not installed")
    with pytest.raises(ConfigError, match=r"dataset\.task: .*pip install 'distillation-benchmark\[rouge\]'"):
        build({"_target_": "benchmark.tasks.instruction.Instruction"}, "dataset.task", GradedTask)


# --- a whole cell ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharedLetters:
    """A metric without a package: the share of the reference's letters that the answer has."""

    name: str = field(default="letters", init=False)
    metric: str = field(default="shared_letters", init=False)

    def show(self, question: Question) -> str:
        return question.text

    def parse(self, question: Question, text: str) -> str | None:
        return text or None

    def parse_flexibly(self, question: Question, text: str) -> str | None:
        return self.parse(question, text)

    def is_correct(self, example: Example, answer: str | None) -> bool:
        return answer == example.answer

    def grade(self, example: Example, answer: str | None) -> float:
        letters = set(example.answer)
        return len(letters & set(answer or "")) / len(letters)


def test_a_metric_takes_the_place_of_accuracy(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("benchmark.axes.data_policy.FixedData.validated", lambda _, metrics: told.append(dict(metrics)))
    done = command(
        *miniature,
        f"dataset.task._target_={__name__}.SharedLetters",
        "method=gold_answers",
        "references=false",
        "optimization.validation_every_n_steps=2",
    )
    assert done.status == 0, done.err
    record = results.record()
    rows = results.table(record["cell_id"])
    [test] = record["test"]
    assert (test["metric"], test["n"]) == ("shared_letters", 16)
    assert test["value"] == pytest.approx(rows["grade"].mean())
    answers = [answer if isinstance(answer, str) else None for answer in rows["answer"]]
    graded = [
        SharedLetters().grade(reference(gold), answer) for gold, answer in zip(rows["gold"], answers, strict=True)
    ]
    assert list(rows["grade"]) == pytest.approx(graded)
    assert any(0 < grade < 1 for grade in graded)
    assert test["outcomes"] is None  # nothing is right or wrong, and so nothing is one of four
    assert rows["outcome"].isna().all()
    assert test["truncated_answers"] == rows["truncated"].sum()
    assert set(record["rounds"][0]["validation"]) == {"shared_letters"}
    assert told
    assert all(set(metrics) == {"shared_letters"} for metrics in told)
    assert "shared_letters" in done.err + done.out


def test_a_teacher_is_not_measured_by_a_prompt_for_right_and_wrong(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    task = f"dataset.task._target_={__name__}.SharedLetters"
    assert command(*miniature, task, "references=false").status == 0
    assert results.record()["teacher_reference"] is None


def test_dolly_needs_no_more_than_its_folder(
    command: Run, write_rows: Run, sum_rows: Run, results: Any, tmp_path: Path
) -> None:
    if importlib.util.find_spec("rouge_score") is None:
        pytest.skip("rouge-score is not installed")
    for split, count, start in (("train", 24, 0), ("validation", 6, 40), ("test", 5, 60)):
        rows = [
            row | {"answer": f"Ann has {row['answer']}.", "context": "Sums."} for row in sum_rows(split, count, start)
        ]
        write_rows(tmp_path / "data" / "dolly" / f"{split}.jsonl", rows)
    done = command(
        "dataset=dolly", f"data_dir={tmp_path / 'data'}", "method=gold_answers", "budget.questions=8",
        "optimization.max_steps=4", "student.max_new_tokens=16", "trainer.save_student=false",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert (results.record()["test"][0]["metric"], results.record()["uses_gold"]) == ("rouge_l", True)
