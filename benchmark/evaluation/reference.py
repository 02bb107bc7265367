"""The teacher's own accuracy: the row of a table that says what there was to learn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from benchmark.evaluation.reading import Reading, read_both
from benchmark.evaluation.settings import EvaluationSettings
from benchmark.tasks.dataset import Dataset, GradedTask
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.replies import before_next_exemplar, split_answer
from benchmark.teachers.teacher import OpenTeacher, Teacher
from benchmark.types import Example, Json, Question, Reply, Request

ROLE = "few_shot_cot"


def reference_teacher(asked: Mapping[str, Teacher], settings: EvaluationSettings) -> str | None:
    """The name of the teacher whose own accuracy is measured: the first of those asked, if it can play the role.

    A teacher whose replies cost something is measured only with `evaluation.paid_teacher_accuracy=true`, because no
    budget limits those questions. None where no teacher is asked or measured.
    """
    for name, first in asked.items():
        plays = first.roles is None or ROLE in first.roles
        return name if plays and (settings.paid_teacher_accuracy or not first.stored) else None
    return None


def reference_asks(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, questions: Sequence[Question]
) -> list[Request]:
    """The request for each question that the teacher covers.

    None at all where answers are graded: the prompt asks for one that is right or wrong.
    """
    if isinstance(dataset.task, GradedTask):
        return []
    return [prompts.render(ROLE, question, dataset) for question in questions if teacher.covers(question.id)]


async def ask_each(
    requests: Sequence[Request], reply: Callable[[Request], Awaitable[list[Reply]]], at_once: int
) -> list[Reply]:
    """One reply to each request, so many of them under way at once.

    Raises the first error, once what was under way then has come back: it is paid for.
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
    """The teacher's accuracy on those of the examples that it covers, asked and read as in annotation; None for none.

    None also where answers are graded. `flexible_value` is the accuracy where the answer is searched in the whole
    reply. Both are measured after everything else and charged to nobody.
    """
    by_id = {example.id: example for example in examples}
    requests = reference_asks(teacher, dataset, prompts, [example.without_gold() for example in examples])
    if not requests:
        return None
    replies = asyncio.run(ask_each(requests, lambda request: teacher.reply(request, 1), at_once))
    readings = [
        _read(dataset, by_id[request.question_id], reply) for request, reply in zip(requests, replies, strict=True)
    ]
    return {
        "metric": "accuracy",
        "value": sum(reading.correct for reading in readings) / len(readings),
        "flexible_value": sum(reading.flexible_correct for reading in readings) / len(readings),
        "n": len(readings),
        "of": len(examples),
    }


def _read(dataset: Dataset, example: Example, reply: Reply) -> Reading:
    _, stated = split_answer(reply.text)
    return read_both(dataset.task, example, stated, before_next_exemplar(reply.text))
