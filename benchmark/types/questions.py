"""Questions with and without their gold fields, and a selection's picks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any
"""A value that `json.dumps` accepts."""


@dataclass(frozen=True)
class Question:
    """An example as methods see it: without the gold fields."""

    id: str
    """Unique within the dataset."""
    text: str
    """The question as the dataset words it, without options and context."""
    choices: tuple[str, ...] | None = None
    """The options of a multiple-choice question; None otherwise."""
    context: str | None = None
    """A text that the question refers to, such as a premise."""


@dataclass(frozen=True)
class Example:
    """One row of a dataset, with its gold fields `answer` and `rationale`."""

    id: str
    """Unique within the dataset."""
    question: str
    """The question as the dataset words it, without options and context."""
    answer: str
    """The gold answer; one of `choices` if there are choices."""
    choices: tuple[str, ...] | None = None
    """The options of a multiple-choice question; None otherwise."""
    rationale: str | None = None
    """A human explanation of the gold answer; None if the dataset has none."""
    context: str | None = None
    """A text that the question refers to, such as a premise."""

    def without_gold(self) -> Question:
        """The example without its gold fields, as methods may see it."""
        return Question(self.id, self.question, self.choices, self.context)


@dataclass(frozen=True)
class Pick:
    """A question that a selection wants annotated. Score and evidence explain its rank; the order of picks decides."""

    question: Question
    score: float | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)
