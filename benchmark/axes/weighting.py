"""Weightings: how much each annotation counts in training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.contract import Context, Requirements
from benchmark.types import Annotation, Weight


@dataclass(frozen=True)
class UniformWeighting:
    """Every annotation keeps its weight of 1, right or wrong."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """Empty: no weight changes."""
        return {}


def reweighted(annotations: Sequence[Annotation], weights: Mapping[str, Weight]) -> list[Annotation]:
    """The annotations with new weights: annotation id -> weight; an id left out keeps its weight.

    Raises ValueError for an unknown id, a weight that is no `Weight` or outside [0, 1], and evidence that is no number.
    """
    strangers = sorted(weights.keys() - {row.id for row in annotations})
    if strangers:
        raise ValueError(f"the weighting gave a weight to {strangers[0]!r}, which is no annotation of this cell")
    for annotation_id, weight in weights.items():
        _refuse_unusable(annotation_id, weight)
    return [_with(row, weights[row.id]) if row.id in weights else row for row in annotations]


def _with(row: Annotation, weight: Weight) -> Annotation:
    numbers = {name: float(number) for name, number in weight.evidence.items()}  # as they are read back
    return replace(row, weight=weight.value, reason=weight.reason, weight_evidence=numbers)


def _refuse_unusable(annotation_id: str, weight: object) -> None:
    if not isinstance(weight, Weight):
        raise ValueError(f"the weight of {annotation_id} is {weight!r}; return Weight(value, reason, evidence)")
    if not 0 <= weight.value <= 1:
        raise ValueError(f"weight {weight.value} of {annotation_id} ({weight.reason}) is outside [0, 1]")
    evidence: Mapping[str, object] = weight.evidence  # of a plug-in, which may hold anything
    for name, number in evidence.items():
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"the evidence {name}={number!r} behind the weight of {annotation_id} is no finite number")
