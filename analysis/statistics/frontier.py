"""Which methods are worth their cost: the Pareto frontier of results and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A method with what it costs (lower is better) and what it reaches (higher is better)."""

    name: str
    cost: float
    value: float

    def dominates(self, other: Point) -> bool:
        """Whether it costs no more and reaches no less, and one of both is better."""
        same = (self.cost, self.value) == (other.cost, other.value)
        return self.cost <= other.cost and self.value >= other.value and not same


def dominated_by(points: Sequence[Point]) -> dict[str, str | None]:
    """Name -> the best of the points that dominate it, which lies on the frontier; None for the frontier itself.

    The best one has the highest value, then the lowest cost, then the first name. Equal points do not dominate each
    other.
    """
    return {point.name: _best([other for other in points if other.dominates(point)]) for point in points}


def _best(points: Sequence[Point]) -> str | None:
    return min(points, key=lambda point: (-point.value, point.cost, point.name)).name if points else None
