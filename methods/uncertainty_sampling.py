"""Uncertainty sampling: questions first on which the student's own answers disagree or look unlikely.

Settles's survey (2009) has the measures; here they are taken over sampled answers, as in Active-Prompt (Diao et al.,
2023, arXiv 2302.12246). No gold answer is read. In a warm-up round all rank at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements
from benchmark.types import Pick, Question
from methods.answers import explained, refuse_too_few_samples, sampled
from methods.ranks import Disagreement, best_first, disagreement


@dataclass(frozen=True)
class AnswerUncertainty:
    """Ranks by how far the answers in several sampled texts differ; no readable answer counts as one of its own."""

    measure: Disagreement = "entropy"
    """`entropy`, `one_minus_max` (least confidence), `one_minus_margin`, or `unique_share` (Active-Prompt)."""
    samples: int = 5
    """Texts per question, at least 2."""
    temperature: float = 0.7
    """Above 0, or all texts of a question were equal."""

    def __post_init__(self) -> None:
        refuse_too_few_samples(self.samples, self.temperature)
        if self.measure not in get_args(Disagreement):
            raise ValueError(f"measure={self.measure!r} is unknown; choose {', '.join(get_args(Disagreement))}")

    def requires(self) -> Requirements:
        """Nothing: every format has an answer path."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most uncertain first. The score lies in [0, 1]; the evidence holds the answers."""
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, self.samples, self.temperature)
        scores = [disagreement(each.answers, self.measure) for each in found]
        return best_first(pool, scores, context, [{"answers": list(each.answers)} for each in found])


@dataclass(frozen=True)
class LikelihoodUncertainty:
    """Ranks by how unlikely the student finds its own greedy text, per token."""

    def requires(self) -> Requirements:
        """Nothing: every format has an answer path."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Least likely first. The score is the mean negative natural log-probability of a token, from 0 on.

        A text whose log-probability is not reported gets the highest score of all, and counts as `unscored_texts`.
        """
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, 1, 0.0, "greedy")
        evidence = [{"text": each.texts[0], "answers": list(each.answers)} for each in found]
        scores = np.array([-each.log_probabilities[0] for each in found])
        unscored = np.isnan(scores)
        context.note(unscored_texts=int(unscored.sum()))
        scores[unscored] = scores[~unscored].max() if not unscored.all() else 0.0
        return best_first(pool, scores, context, evidence)


@dataclass(frozen=True)
class ExplanationLength:
    """Ranks by the length of the student's greedy explanation.

    A control: a score that beats random, but not this one, may measure length alone.
    """

    def requires(self) -> Requirements:
        """A format in which the student explains."""
        return Requirements(explanations=True)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most steps first; of equally many the longer text in characters. The score is the number of steps."""
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        texts = explained(pool, context)
        steps = [float(len(context.task.steps(text))) for text in texts]
        lengths = [float(len(text)) for text in texts]
        return best_first(pool, steps, context, [{"explanation": text} for text in texts], lengths)


@dataclass(frozen=True)
class MiddleBand:
    """Ranks by how near the share of the student's usual answer lies to a middle difficulty.

    It reads no gold answer: a share near 1 stands for a question that is easy to the student, near 0 for a hard one.
    """

    centre: float = 0.5
    """The share of the usual answer that is wanted most, in [0, 1]."""
    width: float = 0.0
    """Shares in a band of this width around the centre are equally good; in [0, 1]."""
    samples: int = 5
    """Texts per question, at least 2."""
    temperature: float = 0.7
    """Above 0, or all texts of a question were equal."""

    def __post_init__(self) -> None:
        refuse_too_few_samples(self.samples, self.temperature)
        if not (0 <= self.centre <= 1 and 0 <= self.width <= 1):
            raise ValueError(f"centre={self.centre} and width={self.width} of a band of shares must lie in [0, 1]")

    def requires(self) -> Requirements:
        """Nothing: every format has an answer path."""
        return Requirements()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Nearest first. The score is minus the distance from the band, so that it is 0 inside."""
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, self.samples, self.temperature)
        shares = [_usual_share(each.answers) for each in found]
        distances = [max(0.0, round(abs(share - self.centre) - self.width / 2, 9)) for share in shares]
        evidence = [{"answers": list(each.answers), "share": share} for each, share in zip(found, shares, strict=True)]
        return best_first(pool, [-distance for distance in distances], context, evidence)


def _usual_share(answers: Sequence[str | None]) -> float:
    """The share of the most frequent answer that could be read; 0 if none could."""
    counts = Counter(answer for answer in answers if answer is not None)
    return max(counts.values(), default=0) / len(answers)
