"""Accuracy: the student is asked along the format's answer path, and what it says is read and compared with gold.

A task with a metric of its own (`GradedTask`) has its answers graded instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.contract import Format, Task
from benchmark.evaluation.answer_path import follow, last_text
from benchmark.evaluation.reading import read_both
from benchmark.student.student import Student
from benchmark.tasks.dataset import GradedTask
from benchmark.types import Example, Prediction, Reply


@dataclass(frozen=True)
class Evaluation:
    """Predictions in the order of the examples, how long the student took for all of them, and how it answered."""

    predictions: tuple[Prediction, ...]
    seconds: float
    metric: str = "accuracy"
    answers_by: str = "generation"

    @property
    def value(self) -> float:
        """What `metric` says, in [0, 1]: the mean grade, or the accuracy where answers are right or wrong."""
        if self.metric == "accuracy":
            return self.accuracy
        return sum(p.grade or 0.0 for p in self.predictions) / len(self.predictions)

    @property
    def accuracy(self) -> float:
        """The share of right answers, in [0, 1]."""
        return sum(p.correct for p in self.predictions) / len(self.predictions)

    @property
    def flexible_accuracy(self) -> float:
        """The share of right answers where the answer is searched in the whole text, in [0, 1]."""
        return sum(p.flexible_correct for p in self.predictions) / len(self.predictions)

    @property
    def unparsed_answers(self) -> int:
        """How many texts state no answer that the task can read strictly."""
        return sum(p.answer is None for p in self.predictions)

    @property
    def truncated_answers(self) -> int:
        """How many texts were cut at the token cap."""
        return sum(p.truncated for p in self.predictions)

    @property
    def completion_tokens_per_answer(self) -> float:
        """What an answer costs: generated tokens, reasoning included."""
        return sum(p.completion_tokens for p in self.predictions) / len(self.predictions)


def evaluate(
    student: Student,
    examples: Sequence[Example],
    form: Format,
    task: Task,
    max_new_tokens: int | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> Evaluation:
    """Greedy answers to all examples. `advance` is told how many generations each batch finished."""
    started = time.perf_counter()
    questions = [example.without_gold() for example in examples]
    turns = follow(form.answer_path, student, questions, form, task, max_new_tokens, advance=advance)
    predictions = tuple(
        _prediction(example, replies, form, task) for example, replies in zip(examples, turns, strict=True)
    )
    return Evaluation(predictions, time.perf_counter() - started, metric_of(task))


def metric_of(task: Task) -> str:
    """The name under which the task's results stand."""
    return task.metric if isinstance(task, GradedTask) else "accuracy"


def _prediction(example: Example, replies: Sequence[Reply], form: Format, task: Task) -> Prediction:
    last = replies[-1].text
    asked = form.request(example.without_gold(), form.answer_path[-1], task, last_text(replies[:-1]))
    rationale, answer_text = form.read(last)
    read = read_both(task, example, answer_text, last)
    earlier = "\n".join(reply.text for reply in replies[:-1])
    return Prediction(
        example_id=example.id,
        prompt=asked.prompt,
        text=last,
        rationale=rationale or earlier,
        answer=read.answer,
        gold=example.answer,
        correct=read.correct,
        flexible_answer=read.flexible_answer,
        flexible_correct=read.flexible_correct,
        truncated=any(reply.finish == "length" for reply in replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        grade=task.grade(example, read.answer) if isinstance(task, GradedTask) else None,
    )
