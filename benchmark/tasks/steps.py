"""Whether written reasoning holds the steps that a question needs: what the generated tasks check alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SEPARATOR = ";"
"""What stands between two steps of a rationale."""


@dataclass(frozen=True)
class StepCheck:
    """How many steps were written, how many of them are right at their place, and how many the question needs."""

    written: int
    right: int
    needed: int

    @property
    def all_right(self) -> bool:
        """Whether the reasoning is right as a whole: every needed step in its place, and nothing else."""
        return self.written == self.right == self.needed


def checked_against(solution: str, rationale: str, plain: Callable[[str], str]) -> StepCheck:
    """Compares a rationale step by step with the worked solution; one full stop at its end does not count.

    `plain` gives the one form of all ways in which a step may be written.
    """
    needed = [plain(step) for step in solution.split(SEPARATOR)]
    text = rationale.strip().removesuffix(".")
    written = [plain(step) for step in text.split(SEPARATOR)] if text else []
    right = sum(step == expected for step, expected in zip(written, needed, strict=False))
    return StepCheck(len(written), right, len(needed))
