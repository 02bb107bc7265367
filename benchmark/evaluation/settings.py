"""How students are evaluated; part of a cell's identity."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationSettings:
    """Greedy decoding along the format's answer path.

    `max_new_tokens` null leaves the cap to the student's config. `validation_size` null uses the whole split.
    """

    max_new_tokens: int | None = None
    validation_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "validation_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1, or null")
