"""How students are evaluated; part of a cell's identity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

OptionLikelihood = Literal["total", "per_token", "per_character"]
"""What the log-probability of an option is divided by: nothing, its tokens, or its characters."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Greedy decoding along the format's answer path, and what is measured beside it or in its place.

    `max_new_tokens` null leaves the cap to the student's config. `validation_size` null uses the whole split.
    `option_likelihood` null reads the answer out of what the student writes; otherwise it is the likeliest option.
    `samples` further answers are drawn to every test question at `temperature`. `extra` names options of `dataset`
    whose test splits are answered too; their order means nothing. `paid_teacher_accuracy` asks a teacher whose replies
    cost something all test questions, beyond the budget, for the table's row of the teacher itself.
    """

    max_new_tokens: int | None = None
    validation_size: int | None = None
    option_likelihood: OptionLikelihood | None = None
    samples: int = 0
    temperature: float = 0.7
    extra: tuple[str, ...] = ()
    paid_teacher_accuracy: bool = field(default=False, metadata={"identity": False})

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "validation_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1, or null")
        if self.samples < 0:
            raise ValueError(f"samples={self.samples} must be at least 1, or 0 to draw none")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature={self.temperature} must be above 0: at 0 all samples of a question are one")
        twice = sorted({name for name in self.extra if self.extra.count(name) > 1})
        if twice:
            raise ValueError(f"extra names {', '.join(twice)} twice; a test set is answered once")
        object.__setattr__(self, "extra", tuple(sorted(self.extra)))
