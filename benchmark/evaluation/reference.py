"""The teacher's own accuracy, which tables show next to the students' accuracies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from benchmark.evaluation.reading import Reading, read_both
from benchmark.evaluation.settings import EvaluationSettings
from benchmark.tasks.dataset import Dataset, GradedTask
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.replies import own_words, split_answer, thought_apart
from benchmark.teachers.teacher import OpenTeacher, Teacher
from benchmark.types import Example, Json, Question, Reply, Request

ROLE = "few_shot_cot"


def reference_teacher(asked: Mapping[str, Teacher], settings: EvaluationSettings) -> str | None:
    """The name of the teacher whose own accuracy is measured: the first teacher that the method asks.

    None if no teacher is asked, or if the first one does not take the few-shot prompt. A teacher whose replies cost
    money or a large model's time is measured only with `evaluation.paid_teacher_accuracy=true`: no budget limits it.
    """
    for name, first in asked.items():
        plays = first.roles is None or ROLE in first.roles
        return name if plays and (settings.paid_teacher_accuracy or not first.stored) else None
    return None


def reference_asks(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, questions: Sequence[Question]
) -> list[Request]:
    """One request for each question that the teacher covers.

    Empty for a task with graded answers, because the prompt asks for an answer that is right or wrong.
    """
    if isinstance(dataset.task, GradedTask):
        return []
    return [prompts.render(ROLE, question, dataset) for question in questions if teacher.covers(question.id)]


async def ask_each(
    requests: Sequence[Request], reply: Callable[[Request], Awaitable[list[Reply]]], at_once: int
) -> list[Reply]:
    """One reply to each request, in order, with at most `at_once` requests running at the same time.

    After an error it starts no further request, waits for the running ones (they are paid for), and raises the error.
    """
    replies: dict[int, Reply] = {}
    errors: list[Exception] = []
    waiting = iter(enumerate(requests))

    async def work() -> None:
        for number, request in waiting:
            try:
                [replies[number]] = await reply(request)
            except Exception as error:
                errors.append(error)
            if errors:
                return

    await asyncio.gather(*(work() for _ in range(at_once)))
    if errors:
        raise errors[0]
    return [replies[number] for number in range(len(requests))]


def teacher_accuracy(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, examples: Sequence[Example], at_once: int = 1
) -> dict[str, Json] | None:
    """The teacher's accuracy on the examples that it covers, asked and read as in annotation.

    Returns `metric`, `value` (strict reading, in [0, 1]), `flexible_value` (flexible reading, in [0, 1]), `n` (examples
    that it covers) and `of` (all examples). Returns None if it covers no example, or if answers are graded. Its
    requests come after everything else, at most `at_once` at the same time, and are not charged to the cell.
    """
    by_id = {example.id: example for example in examples}
    requests = reference_asks(teacher, dataset, prompts, [example.without_gold() for example in examples])
    if not requests:
        return None
    replies = asyncio.run(ask_each(requests, lambda request: teacher.reply(request, 1), at_once))
    readings = [
        _read(dataset, by_id[request.question_id], own_words(thought_apart(reply, "strip"), request))
        for request, reply in zip(requests, replies, strict=True)
    ]
    return {
        "metric": "accuracy",
        "value": sum(reading.correct for reading in readings) / len(readings),
        "flexible_value": sum(reading.flexible_correct for reading in readings) / len(readings),
        "n": len(readings),
        "of": len(examples),
    }


def _read(dataset: Dataset, example: Example, text: str) -> Reading:
    _, stated = split_answer(text)
    return read_both(dataset.task, example, stated, text)
