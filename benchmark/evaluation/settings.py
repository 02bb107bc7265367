"""How students are evaluated; part of a cell's identity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

OptionLikelihood = Literal["total", "per_token", "per_character"]
"""What an option's log-probability is divided by: 1, its number of tokens, or its number of characters."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of evaluation. By default the student answers greedily along the format's answer path."""

    max_new_tokens: int | None = None
    """The most tokens per generation; null takes the student's `max_new_tokens`."""
    validation_size: int | None = None
    """How many validation examples are used; null uses the whole split."""
    option_likelihood: OptionLikelihood | None = None
    """Null reads the answer from the student's text; otherwise the answer is the option with the highest score."""
    samples: int = 0
    """How many further answers are sampled for every test question; 0 samples none."""
    temperature: float = 0.7
    """The temperature of these samples."""
    extra: tuple[str, ...] = ()
    """Options of `dataset` whose test splits are answered too; their order does not matter."""
    faithfulness_questions: int = field(default=0, metadata={"left_out_at": 0})
    """How many of the first test questions measure how far explanations decide answers; 0 measures none."""
    explanation_questions: int = field(default=0, metadata={"left_out_at": 0})
    """How many of the first test questions the student explains after the test; 0 has none explained."""
    paid_teacher_accuracy: bool = field(default=False, metadata={"identity": False})
    """Whether a teacher whose replies cost money or time answers all test questions too, outside the budget.

    The tables then show its own accuracy. A teacher whose replies cost nothing does not need this setting.
    """

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "validation_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1, or null")
        if self.samples < 0:
            raise ValueError(f"samples={self.samples} must be at least 1, or 0 to draw none")
        if self.faithfulness_questions < 0:
            raise ValueError(
                f"faithfulness_questions={self.faithfulness_questions} must be at least 1, or 0 to measure none"
            )
        if self.explanation_questions < 0:
            raise ValueError(
                f"explanation_questions={self.explanation_questions} must be at least 1, or 0 to have none explained"
            )
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature={self.temperature} must be above 0: at 0 all samples are equal")
        twice = sorted({name for name in self.extra if self.extra.count(name) > 1})
        if twice:
            raise ValueError(f"extra names {', '.join(twice)} twice; a test set is answered once")
        object.__setattr__(self, "extra", tuple(sorted(self.extra)))
