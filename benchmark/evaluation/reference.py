"""The teacher's own accuracy: the row of a table that says what there was to learn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmark.evaluation.reading import Reading, read_both
from benchmark.tasks.dataset import Dataset, GradedTask
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.replies import before_next_exemplar, split_answer
from benchmark.teachers.teacher import OpenTeacher
from benchmark.types import Example, Json

ROLE = "few_shot_cot"


def teacher_accuracy(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, examples: Sequence[Example]
) -> dict[str, Json] | None:
    """The teacher's accuracy on those of the examples that it covers, asked and read as in annotation; None for none.

    None also where answers are graded: the prompt asks for one that is right or wrong. `flexible_value` is the accuracy
    where the answer is searched in the whole reply. Both are measured after everything
    else and charged to nobody.
    """
    covered = [example for example in examples if teacher.covers(example.id)]
    if not covered or isinstance(dataset.task, GradedTask):
        return None
    readings = asyncio.run(_readings(teacher, dataset, prompts, covered))
    return {
        "metric": "accuracy",
        "value": sum(reading.correct for reading in readings) / len(covered),
        "flexible_value": sum(reading.flexible_correct for reading in readings) / len(covered),
        "n": len(covered),
        "of": len(examples),
    }


async def _readings(
    teacher: OpenTeacher, dataset: Dataset, prompts: PromptLibrary, examples: Sequence[Example]
) -> list[Reading]:
    readings = []
    for example in examples:
        [reply] = await teacher.reply(prompts.render(ROLE, example.without_gold(), dataset), 1)
        _, stated = split_answer(reply.text)
        readings.append(read_both(dataset.task, example, stated, before_next_exemplar(reply.text)))
    return readings
