"""Oracles: selections that read gold answers. No real method can; they say how far selection can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements
from benchmark.types import Pick, Question
from methods.answers import refuse_too_few_samples, sampled
from methods.ranks import best_first


@dataclass(frozen=True)
class TrueErrorSelection:
    """An oracle: ranks by how often the student is wrong, by gold answers. Tables mark it as using gold."""

    samples: int = 5
    """Texts per question, at least 2."""
    temperature: float = 0.7
    """Above 0, or all texts of a question were equal."""

    def __post_init__(self) -> None:
        refuse_too_few_samples(self.samples, self.temperature)

    def requires(self) -> Requirements:
        """Gold answers."""
        return Requirements(gold=True)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most often wrong first; in a warm-up round at random. The score is the share of wrong answers, in [0, 1]."""
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, self.samples, self.temperature)
        scores = []
        for each in found:
            example = context.gold(each.question)
            wrong = [not context.task.is_correct(example, answer) for answer in each.answers]
            scores.append(sum(wrong) / len(wrong))
        return best_first(pool, scores, context, [{"answers": list(each.answers)} for each in found])
