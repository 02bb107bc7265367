"""Selective Reflection Distillation: the untrained student says what is easy for it, and learns that first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.contract import Context, Requirements
from benchmark.types import Request, Stage, TrainingExample

RRF_CONSTANT = 60
"""Of reciprocal rank fusion: how little the first places stand out."""
_WORD = re.compile(r"\w|[^\w\s]")  # the tasks' solutions have no words: every sign counts as one


@dataclass(frozen=True)
class SelectiveReflection:
    """Ranks the groups once, cuts the ranking into `partitions`, and trains on nested, growing subsets of the easiest.

    `kept` of the partitions are ever trained on. Every example of a stage is seen equally often in all stages, so a
    stage's share of the steps follows its size. Temperature and weight of the distillation term rise from the first
    stage to the last where the loss knows them.
    """

    partitions: int = 4
    kept: int = 3
    tau_start: float = 1.0
    tau_end: float = 2.0
    kd_weight_start: float = 0.8
    kd_weight_end: float = 1.0
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.kept <= self.partitions:
            raise ValueError(f"kept={self.kept} must be between 1 and partitions={self.partitions}")

    def requires(self) -> Requirements:
        return Requirements()

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        number = len(done)
        if number == self.kept:
            return None
        order = done[0].memory if done else self._easiest_first(examples, context)
        easy = set(order[: self._size(number, len(order))])
        return Stage(
            [example for example in examples if example.group in easy],
            share=self._size(number, len(order)) / sum(self._size(i, len(order)) for i in range(self.kept)),
            settings=self._settings(number, context.loss_settings),
            fresh_optimiser=True,
            memory=order,
        )

    def _size(self, stage: int, groups: int) -> int:
        """How many groups a stage holds; what does not divide evenly comes with the last partition."""
        if stage + 1 == self.partitions:
            return groups
        size = (stage + 1) * (groups // self.partitions)
        if not size:
            raise ValueError(f"{groups} groups cannot be cut into partitions={self.partitions}")
        return size

    def _settings(self, stage: int, known: Mapping[str, float]) -> dict[str, float]:
        """Those of the stage's settings that the loss of this method has."""
        progress = stage / max(1, self.kept - 1)
        wanted = {
            "tau": self.tau_start + (self.tau_end - self.tau_start) * progress,
            "kd_weight": self.kd_weight_start + (self.kd_weight_end - self.kd_weight_start) * progress,
        }
        return {name: value for name, value in wanted.items() if name in known}

    def _easiest_first(self, examples: Sequence[TrainingExample], context: Context) -> list[str]:
        """The groups, easiest first, by what the student says itself and by how likely the targets are to it."""
        requests = [Request("reflect", example.prompt, example.group, self.max_new_tokens) for example in examples]
        replies = context.student.generate(requests)
        log_probabilities = context.student.target_log_probabilities(examples)
        overlap: dict[str, list[float]] = {}
        surprise: dict[str, list[float]] = {}
        for example, [reply], of_tokens in zip(examples, replies, log_probabilities, strict=True):
            overlap.setdefault(example.group, []).append(rouge_l(reply.text, example.target_text))
            surprise.setdefault(example.group, []).append(-sum(of_tokens) / len(of_tokens))
        context.note(reflected=len(examples))
        return fused_order(_means(overlap), _means(surprise))


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {group: sum(numbers) / len(numbers) for group, numbers in values.items()}


def fused_order(overlap: Mapping[str, float], surprise: Mapping[str, float]) -> list[str]:
    """By the sum of reciprocal ranks: high overlap and low surprise first.

    Every sort keeps the order of the one before where values are equal, as in the released code: first by overlap, then
    by surprise, then by the fused score. What comes first in a tie of all three is the smaller id, so that the order of
    the examples is nothing to go by.
    """
    by_overlap = sorted(sorted(overlap), key=lambda group: -overlap[group])
    by_surprise = sorted(by_overlap, key=lambda group: surprise[group])
    ranks = [{group: rank for rank, group in enumerate(order, 1)} for order in (by_overlap, by_surprise)]
    return sorted(by_surprise, key=lambda group: -sum(1 / (RRF_CONSTANT + rank[group]) for rank in ranks))


def rouge_l(said: str, reference: str) -> float:
    """F1 of the longest common subsequence of signs, in [0, 1]; 0 where either is empty."""
    ours, theirs = _WORD.findall(said), _WORD.findall(reference)
    if not ours or not theirs:
        return 0.0
    lengths = [0] * (len(theirs) + 1)
    for sign in ours:
        above_left = 0
        for i, other in enumerate(theirs, 1):
            above = lengths[i]
            lengths[i] = above_left + 1 if sign == other else max(above, lengths[i - 1])
            above_left = above
    return 2 * lengths[-1] / (len(ours) + len(theirs))
