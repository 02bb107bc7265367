"""What the family of a dataset is to the parts: how its questions are shown and its answers read."""

from __future__ import annotations

from typing import Protocol

from benchmark.types import Example, Question


class Task(Protocol):
    """The family of a dataset: how its questions are shown, how an answer is read and when it is right."""

    name: str

    def show(self, question: Question) -> str:
        """The question as text, options included; the same for teachers and students."""
        ...

    def parse(self, question: Question, text: str) -> str | None:
        """The answer that `text` is, in the form of the dataset's gold answers; None where it is none.

        This strict reading decides what students learn and what a right answer is.
        """
        ...

    def parse_flexibly(self, question: Question, text: str) -> str | None:
        """The answer found somewhere in `text`, the strict one where there is one; None where none or several are."""
        ...

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether a parsed answer equals the gold answer; None is wrong."""
        ...
