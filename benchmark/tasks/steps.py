"""Steps of written reasoning: where they begin, and whether they are the steps that a question needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

SEPARATOR = ";"
"""The text between two steps of a rationale."""
_GAP = re.compile(rf"[\s{SEPARATOR}]+")
_SENTENCE_ENDS = (".", "!", "?")


class WrittenSteps:
    """How all tasks find steps in a text: at semicolons, at line ends, and between sentences."""

    def steps(self, text: str) -> list[str]:
        """The steps of a text; each begins with the gap after the step before, so that joined they are the text."""
        cuts = [
            gap.start()
            for gap in _GAP.finditer(text)
            if gap.start() > 0 and gap.end() < len(text) and _parts_steps(gap[0], text[gap.start() - 1])
        ]
        return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])] if text else []

    def join(self, steps: Sequence[str]) -> str:
        """The steps as one text."""
        return "".join(steps)


def _parts_steps(gap: str, before: str) -> bool:
    return SEPARATOR in gap or "\n" in gap or before in _SENTENCE_ENDS


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
