"""Checks whether written reasoning has the steps that a question needs; all generated tasks use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SEPARATOR = ";"
"""The text between two steps of a rationale."""


@dataclass(frozen=True)
class StepCheck:
    """Numbers of steps: written, written and right at their position, and needed by the question."""

    written: int
    right: int
    needed: int

    @property
    def all_right(self) -> bool:
        """Whether the reasoning is right as a whole: every needed step at its position, and no other step."""
        return self.written == self.right == self.needed


def checked_against(solution: str, rationale: str, plain: Callable[[str], str]) -> StepCheck:
    """Compares a rationale step by step with the worked solution; one full stop at its end does not count.

    `plain` turns a step into a canonical form, so that different spellings of the same step are equal.
    """
    needed = [plain(step) for step in solution.split(SEPARATOR)]
    text = rationale.strip().removesuffix(".")
    written = [plain(step) for step in text.split(SEPARATOR)] if text else []
    right = sum(step == expected for step, expected in zip(written, needed, strict=False))
    return StepCheck(len(written), right, len(needed))
