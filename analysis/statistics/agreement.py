"""How far two students are right and wrong on the same questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Agreement:
    """How often each of two students was right, over the same questions."""

    both_right: int
    """Questions that both got right."""
    only_first: int
    """Questions that the first one alone got right."""
    only_second: int
    """Questions that the second one alone got right."""
    both_wrong: int
    """Questions that both got wrong."""

    @property
    def questions(self) -> int:
        """All questions."""
        return self.both_right + self.only_first + self.only_second + self.both_wrong

    @property
    def share(self) -> float:
        """The share of questions that both got right or both got wrong, in [0, 1]."""
        return (self.both_right + self.both_wrong) / self.questions

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, in [-1, 1]: 0 is the agreement by chance of two students with these accuracies.

        None where both have all questions right, or both all wrong, so that chance alone makes them agree. Source:
        Cohen, A Coefficient of Agreement for Nominal Scales (1960).
        """
        first = (self.both_right + self.only_first) / self.questions
        second = (self.both_right + self.only_second) / self.questions
        by_chance = first * second + (1 - first) * (1 - second)
        return None if by_chance == 1 else (self.share - by_chance) / (1 - by_chance)


def agreement(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Agreement:
    """Of two students: whether each was right, question by question in one order. Raises ValueError for no question."""
    if first.shape != second.shape or not first.size:
        raise ValueError(f"{first.size} answers beside {second.size}: both need the same questions, and at least one")
    counts = (first & second, first & ~second, ~first & second, ~first & ~second)
    return Agreement(*(int(count.sum()) for count in counts))
