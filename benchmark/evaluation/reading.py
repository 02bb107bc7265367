"""The strict and the flexible reading of one text, and whether each is right."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.contract import Task
from benchmark.types import Example


@dataclass(frozen=True)
class Reading:
    """The answers that the strict and the flexible reading found in one text."""

    answer: str | None
    """The strictly read answer; None if there is none."""
    correct: bool
    """Whether `answer` is right."""
    flexible_answer: str | None
    """The strictly read answer if there is one, else the answer found in the whole text; None if there is none."""
    flexible_correct: bool
    """Whether `flexible_answer` is right."""


def read_both(task: Task, example: Example, stated: str | None, whole: str) -> Reading:
    """Reads an answer strictly from `stated`, else flexibly from `whole`.

    `stated` is the text at the place of the answer, None if that place is missing; `whole` is the whole text.
    """
    question = example.without_gold()
    answer = None if stated is None else task.parse(question, stated)
    flexible = task.parse_flexibly(question, whole) if answer is None else answer
    return Reading(answer, task.is_correct(example, answer), flexible, task.is_correct(example, flexible))
