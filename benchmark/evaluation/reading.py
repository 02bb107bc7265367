"""Both readings of one text, and whether each is right."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.contract import Task
from benchmark.types import Example


@dataclass(frozen=True)
class Reading:
    """What was read strictly and flexibly; where the strict reading finds an answer, the flexible one is the same."""

    answer: str | None
    correct: bool
    flexible_answer: str | None
    flexible_correct: bool


def read_both(task: Task, example: Example, stated: str | None, whole: str) -> Reading:
    """`stated` is what stands where the answer belongs, None where nothing does; `whole` is the text around it."""
    question = example.without_gold()
    answer = None if stated is None else task.parse(question, stated)
    flexible = task.parse_flexibly(question, whole) if answer is None else answer
    return Reading(answer, task.is_correct(example, answer), flexible, task.is_correct(example, flexible))
