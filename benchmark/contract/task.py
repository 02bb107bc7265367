"""The interface of a task, the family of a dataset: how its questions are shown and its answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benchmark.types import Example, Question


class Task(Protocol):
    """The family of a dataset: how its questions are shown, how an answer is read and when it is right."""

    name: str

    def show(self, question: Question) -> str:
        """The question as text, options included; the same for teachers and students."""
        ...

    def steps(self, text: str) -> list[str]:
        """The steps of reasoning in a text, in order; each begins with what separates it from the step before.

        `join(steps(text)) == text` for every text, and the first k steps, joined, have just these steps.
        """
        ...

    def join(self, steps: Sequence[str]) -> str:
        """Steps of one text, or its first ones, as a text."""
        ...

    def parse(self, question: Question, text: str) -> str | None:
        """The answer that the whole `text` states, in the form of the dataset's gold answers; None if it states none.

        This strict reading decides what students learn and which answers are right.
        """
        ...

    def parse_flexibly(self, question: Question, text: str) -> str | None:
        """The answer of `parse` if there is one, else the only answer found in `text`; None if none or several are."""
        ...

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether a parsed answer equals the gold answer; None is wrong."""
        ...
