"""What simulated models know of a generated dataset: the one place where they read its rows and its worked solutions.

A simulated teacher or assistant stands for a model that can do the task. Its knowledge is therefore no gold answer of
the cell, and a cell that asks one is not marked as using gold.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.steps import SEPARATOR
from benchmark.teachers.replies import split_answer
from benchmark.teachers.teacher import every_example
from benchmark.types import Question

DRAWS_OF_A_WRONG_STEP = 64
"""How many wrong solutions are drawn to find one whose first wrong step is the wanted one."""


@dataclass(frozen=True)
class AnswerKey:
    """The questions of a dataset, and what is right and wrong about them."""

    dataset: GeneratedDataset
    questions: Mapping[str, tuple[str, Question]]
    """Question id -> (the question as the task shows it, the question)."""

    def covers(self, question_id: str) -> bool:
        """Whether the question is in the dataset."""
        return question_id in self.questions

    def question_in(self, prompt: str) -> Question | None:
        """The first question that stands in the prompt on lines of its own, behind a label or none; None if none."""
        lines = [line.removeprefix("Q: ").removeprefix("Question: ") for line in prompt.split("\n")]
        for begin in range(len(lines)):
            for end in range(len(lines), begin, -1):
                if found := _by_text(self).get("\n".join(lines[begin:end])):
                    return found
        return None

    def solve(self, question: Question) -> tuple[str, str]:
        """(rationale, answer), both right."""
        return self.dataset.solve(question)

    def solve_wrongly(self, question: Question, chance: random.Random) -> tuple[str, str]:
        """(rationale, answer) with one wrong step, which leads to a wrong answer."""
        return self.dataset.solve_wrongly(question, chance)

    def go_wrong_from(self, question: Question, position: int, chance: random.Random) -> tuple[list[str], str]:
        """(the steps from a position on, the answer): the step at this position is wrong, and with it the answer.

        If no drawn solution goes wrong there first, one with a wrong step there is taken, or else any wrong one.
        """
        right = steps_of(self.solve(question)[0])
        drawn = [self.solve_wrongly(question, chance) for _ in range(DRAWS_OF_A_WRONG_STEP)]
        found = [(steps_of(rationale), answer) for rationale, answer in drawn]

        def likeness(steps: list[str]) -> tuple[bool, bool]:
            goes_wrong_here = steps[position : position + 1] != right[position : position + 1]
            return goes_wrong_here and steps[:position] == right[:position], goes_wrong_here

        steps, answer = max(found, key=lambda each: likeness(each[0]))
        return steps[position:], answer

    def argue(self, question: Question, answer: str) -> str | None:
        """A rationale for a given answer, right or wrong; None if the question cannot have this answer."""
        read = self.dataset.task.parse(question, answer)
        try:
            return None if read is None else self.dataset.argue(question, read)
        except ValueError:
            return None

    def is_right(self, question: Question, answer: str) -> bool:
        """Whether a text states the right answer."""
        read = self.dataset.task.parse(question, answer)
        return read is not None and read == self.dataset.task.parse(question, self.solve(question)[1])

    def right_steps(self, question: Question, steps: Sequence[str]) -> list[bool]:
        """Per step whether it is the one that belongs at its position."""
        counts = [self._count_right(question, steps[:end]) for end in range(len(steps) + 1)]
        return [after > before for before, after in pairwise(counts)]

    def _count_right(self, question: Question, steps: Sequence[str]) -> int:
        check = self.dataset.check_steps(question, SEPARATOR.join(steps))
        if check is not None:
            return check.right
        needed = steps_of(self.solve(question)[0])
        return sum(step.strip() == expected for step, expected in zip(steps, needed, strict=False))

    def first_flaw(self, question: Question, steps: Sequence[str]) -> int | None:
        """The position of the first step that is wrong, missing or one too many; None if the reasoning is right."""
        right = self.right_steps(question, steps)
        if not all(right):
            return right.index(False)
        return None if len(steps) == len(steps_of(self.solve(question)[0])) else len(steps)

    def follows(self, question: Question, accepted: Sequence[str], text: str) -> bool:
        """Whether a text (steps, an answer, or both) is right behind the accepted steps.

        Each step must be the one that belongs at its position, and behind an answer no step may be missing.
        """
        reasoning, answer = split_answer(text)
        steps = steps_of(reasoning or "")
        if not steps and answer is None:
            return False
        right = all(self.right_steps(question, [*accepted, *steps])[len(accepted) :])
        if answer is None or not right:
            return right
        all_there = len(accepted) + len(steps) >= len(steps_of(self.solve(question)[0]))
        return all_there and self.is_right(question, answer)


def answer_key(dataset: GeneratedDataset) -> AnswerKey:
    """The key to all questions of the dataset, test questions included."""
    return AnswerKey(dataset, _questions(dataset))


def steps_of(text: str) -> list[str]:
    """The steps of a reasoning, without empty ones and without a full stop at its end."""
    return [step for step in text.strip().removesuffix(".").split(SEPARATOR) if step.strip()]


def _questions(dataset: GeneratedDataset) -> Mapping[str, tuple[str, Question]]:
    rows = every_example(dataset.load())
    return {row.id: (dataset.task.show(row.without_gold()), row.without_gold()) for row in rows}


def _by_text(key: AnswerKey) -> Mapping[str, Question]:
    return _texts(key.dataset)


@lru_cache(maxsize=4)
def _texts(dataset: GeneratedDataset) -> Mapping[str, Question]:
    return dict(_questions(dataset).values())
