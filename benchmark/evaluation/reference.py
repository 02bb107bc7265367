"""The teacher's own accuracy: the row of a table that says what there was to learn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmark.contract import Task
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.replies import split_answer
from benchmark.teachers.teacher import OpenTeacher
from benchmark.types import Example, Json

ROLE = "few_shot_cot"


def teacher_accuracy(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, examples: Sequence[Example]
) -> dict[str, Json] | None:
    """The teacher's accuracy on those of the examples that it covers, asked and read as in annotation; None for none.

    It is measured after everything else and charged to nobody.
    """
    covered = [example for example in examples if teacher.covers(example.id)]
    if not covered:
        return None
    right = asyncio.run(_right_answers(teacher, dataset, prompts, covered))
    return {"metric": "accuracy", "value": right / len(covered), "n": len(covered), "of": len(examples)}


async def _right_answers(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, examples: Sequence[Example]
) -> int:
    right = 0
    for example in examples:
        [reply] = await teacher.reply(prompts.render(ROLE, example.without_gold(), dataset), 1)
        right += _is_right(dataset.task, example, reply.text)
    return right


def _is_right(task: Task, example: Example, text: str) -> bool:
    _, answer = split_answer(text)
    parsed = None if answer is None else task.parse(example.without_gold(), answer)
    return task.is_correct(example, parsed)
