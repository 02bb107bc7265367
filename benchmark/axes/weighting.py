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


@dataclass(frozen=True)
class KeepRandom:
    """Keeps a random share of every round's annotations: what a filter of this size does by its size alone."""

    share: float = 0.7
    """The share of the annotations to keep, in (0, 1]."""

    def __post_init__(self) -> None:
        refuse_no_share(self.share)

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """A weight of 1 or 0 for every new annotation."""
        draws = {row.id: float(context.rng("kept", row.id).random()) for row in new}
        kept = set(sorted(draws, key=lambda row: draws[row])[: round(self.share * len(draws))])
        return {row: Weight(float(row in kept), "drawn at random") for row in draws}


@dataclass(frozen=True)
class KeepRight:
    """An oracle, marked as reading gold: keeps the annotations with the right answer."""

    def requires(self) -> Requirements:
        """Gold answers."""
        return Requirements(gold=True)

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """A weight of 1 or 0 for every new annotation; in a task without right answers all are kept."""
        right = {row.id: context.task.is_correct(context.gold(row.question), row.answer) for row in new}
        return {row: Weight(float(is_right), "right" if is_right else "wrong") for row, is_right in right.items()}


def refuse_no_share(share: float) -> None:
    """Raises ValueError for a share of annotations to keep that is not in (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(f"share={share} is not a share of the annotations to keep")


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
