"""Weightings: how much each annotation counts in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.contract import Context, Requirements
from benchmark.types import Annotation


@dataclass(frozen=True)
class UniformWeighting:
    """Every annotation keeps its weight of 1, right or wrong."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def weigh(
        self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context
    ) -> Mapping[str, tuple[float, str]]:
        """Empty: no weight changes."""
        return {}


def reweighted(annotations: Sequence[Annotation], weights: dict[str, tuple[float, str]]) -> list[Annotation]:
    """The annotations with new weights: annotation id -> (weight, reason); an id left out keeps its weight.

    Raises ValueError for a weight outside [0, 1] or an unknown id.
    """
    strangers = sorted(weights.keys() - {row.id for row in annotations})
    if strangers:
        raise ValueError(f"the weighting gave a weight to {strangers[0]!r}, which is no annotation of this cell")
    for annotation_id, (weight, reason) in weights.items():
        if not 0 <= weight <= 1:
            raise ValueError(f"weight {weight} of {annotation_id} ({reason}) is outside [0, 1]")
    return [
        replace(row, weight=weights[row.id][0], reason=weights[row.id][1]) if row.id in weights else row
        for row in annotations
    ]
