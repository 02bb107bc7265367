"""Accuracy: asks the student along the format's answer path, reads its answers and compares them with gold.

A task with its own metric (`GradedTask`) grades the answers instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.contract import Format, Task
from benchmark.evaluation.answer_path import follow, last_text
from benchmark.evaluation.reading import read_both
from benchmark.student.student import Student
from benchmark.tasks.dataset import GradedTask
from benchmark.tasks.thinking import without_trace
from benchmark.types import Example, Prediction, Reply


@dataclass(frozen=True)
class Evaluation:
    """A student's predictions for a set of examples."""

    predictions: tuple[Prediction, ...]
    """One prediction per example, in the order of the examples."""
    seconds: float
    """Wall-clock time for all examples, in seconds."""
    metric: str = "accuracy"
    """`accuracy`, or the name of a graded task's metric."""
    answers_by: str = "generation"
    """How answers were found: `generation`, or `option likelihood (...)` with its normalisation."""
    latencies_seconds: tuple[float, ...] = ()
    """Per example the time from the start of its batch to its last token, all turns added; empty for likelihoods."""

    @property
    def value(self) -> float:
        """The value of `metric`, in [0, 1]: the accuracy, or the mean grade of a graded task."""
        if self.metric == "accuracy":
            return self.accuracy
        return sum(p.grade or 0.0 for p in self.predictions) / len(self.predictions)

    @property
    def accuracy(self) -> float:
        """The share of right answers, in [0, 1]."""
        return sum(p.correct for p in self.predictions) / len(self.predictions)

    @property
    def flexible_accuracy(self) -> float:
        """The share of right answers in the flexible reading, which searches the whole text; in [0, 1]."""
        return sum(p.flexible_correct for p in self.predictions) / len(self.predictions)

    @property
    def unparsed_answers(self) -> int:
        """How many texts have no answer in the strict reading."""
        return sum(p.answer is None for p in self.predictions)

    @property
    def truncated_answers(self) -> int:
        """How many answers were cut at the token cap."""
        return sum(p.truncated for p in self.predictions)

    @property
    def completion_tokens_per_answer(self) -> float:
        """The mean number of generated tokens per answer, reasoning included."""
        return sum(p.completion_tokens for p in self.predictions) / len(self.predictions)

    def latency_seconds(self, percentile: float) -> float | None:
        """The latency that `percentile` percent of the answers do not exceed; None where answers have no latency."""
        return float(np.percentile(self.latencies_seconds, percentile)) if self.latencies_seconds else None


def evaluate(
    student: Student,
    examples: Sequence[Example],
    form: Format,
    task: Task,
    max_new_tokens: int | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> Evaluation:
    """Answers all examples greedily along the format's answer path, reads the answers and compares them with gold.

    `max_new_tokens` caps each generation whose request sets no cap; None leaves the cap to the student. `advance` is
    called after each batch with the number of finished generations.
    """
    started = time.perf_counter()
    questions = [example.without_gold() for example in examples]
    turns = follow(form.answer_path, student, questions, form, task, max_new_tokens, advance=advance)
    predictions = tuple(
        _prediction(example, replies, form, task) for example, replies in zip(examples, turns, strict=True)
    )
    latencies = tuple(sum(reply.seconds or 0.0 for reply in replies) for replies in turns)
    return Evaluation(predictions, time.perf_counter() - started, metric_of(task), latencies_seconds=latencies)


def metric_of(task: Task) -> str:
    """The name of the task's metric in records: its own, or `accuracy`."""
    return task.metric if isinstance(task, GradedTask) else "accuracy"


def _prediction(example: Example, replies: Sequence[Reply], form: Format, task: Task) -> Prediction:
    written = replies[-1].text
    last = without_trace(written)
    asked = form.request(example.without_gold(), form.answer_path[-1], task, last_text(replies[:-1]))
    rationale, answer_text = form.read(last)
    read = read_both(task, example, answer_text, last)
    earlier = "\n".join(reply.text for reply in replies[:-1])
    return Prediction(
        example_id=example.id,
        prompt=asked.prompt,
        text=written,
        rationale=rationale or earlier,
        answer=read.answer,
        gold=example.answer,
        correct=read.correct,
        flexible_answer=read.flexible_answer,
        flexible_correct=read.flexible_correct,
        truncated=any(reply.finish == "length" for reply in replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        grade=_grade(task, example, read.answer),
    )


def _grade(task: Task, example: Example, answer: str | None) -> float | None:
    """The task's own grade; None without one. Raises ValueError for a grade outside [0, 1]: no record can hold it."""
    if not isinstance(task, GradedTask):
        return None
    grade = task.grade(example, answer)
    if not 0 <= grade <= 1:
        raise ValueError(f"task {task.name} gave question {example.id!r} the grade {grade}, and grades lie in [0, 1]")
    return grade
