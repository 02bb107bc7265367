"""Teaching-Assistant-in-the-Loop (Zhou and Ai, Findings of ACL 2024, arXiv 2406.05322): three signals, in two stages.

The student's disagreement with itself and the assistant's doubt about it choose the questions; the assistant's trust in
the teacher's annotations keeps some of them. A small first stage warms the student up until its signal means something.
The paper's text could not be had: docs/methods/ta_in_the_loop.md says for every choice whether it is confirmed or
reconstructed. No gold answer is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmark.axes.selection import RandomSelection
from benchmark.axes.weighting import refuse_no_share
from benchmark.contract import Context, Requirements
from benchmark.types import Annotation, Pick, Question, Weight
from methods.answers import Sampled, refuse_too_few_samples, sampled
from methods.judges import Judge, PTrue, Solution
from methods.ranks import Disagreement, best_first, disagreement, rank01, refuse_unknown

Direction = Literal["uncertain", "certain"]
StudentTarget = Literal["usual", "mean"]


@dataclass(frozen=True)
class StudentDoubt:
    """Ranks by how many different answers the student samples, and by the judge's doubt about what it says.

    `alpha * rank01(disagreement) + (1 - alpha) * rank01(1 - confidence)`; equal scores go by the lower confidence, then
    by the seed.
    """

    judge: Judge = field(default_factory=PTrue)
    """Who doubts the student's solutions."""
    internal: Disagreement = "unique_share"
    """How far the sampled answers differ: a measure of `methods.ranks.disagreement`. The paper counts answers.
    """
    samples: int = 5
    """How many answers are sampled."""
    temperature: float = 0.7
    """The temperature at which they are."""
    alpha: float = 0.5
    """The weight of the student's own signal, in [0, 1]. At 1 the judge breaks ties only; at 0 the student's signal is
    left out."""
    student_target: StudentTarget = "usual"
    """What is judged: the first solution with the `usual` answer, or all of them, and the `mean` counts."""
    direction: Direction = "uncertain"
    """`certain` turns the order round: a control."""

    def __post_init__(self) -> None:
        refuse_too_few_samples(self.samples, self.temperature)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} is no weight between 0 and 1")
        refuse_unknown(
            internal=(self.internal, Disagreement),
            student_target=(self.student_target, StudentTarget),
            direction=(self.direction, Direction),
        )

    def requires(self) -> Requirements:
        """What the judge requires."""
        return self.judge.requires()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most doubtful first; in a warm-up round at random, because the student's signal means nothing yet."""
        if context.round.warmup or not pool:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, self.samples, self.temperature, "self-consistency")
        differing = [disagreement(each.answers, self.internal) for each in found]
        trust = self._trust(found, context)
        doubt = [1 - confidence for confidence in trust]
        sign = 1.0 if self.direction == "uncertain" else -1.0
        score = sign * (self.alpha * rank01(differing) + (1 - self.alpha) * rank01(doubt))
        evidence = [
            {"answers": list(each.answers), "usual": each.usual, "disagreement": differing[i], "confidence": trust[i]}
            for i, each in enumerate(found)
        ]
        return best_first(pool, score, context, evidence, then_by=sign * np.array(doubt))

    def _trust(self, found: Sequence[Sampled], context: Context) -> list[float]:
        """Per question how sure the judge is of the student."""
        judged = [range(self.samples) if self.student_target == "mean" else [each.first_usual] for each in found]
        solutions = [
            Solution(each.question, context.format.read(each.texts[i])[0], each.answers[i])
            for each, numbers in zip(found, judged, strict=True)
            for i in numbers
        ]
        table = np.array(self.judge.confidences(solutions, context)).reshape(len(found), -1)
        means: list[float] = table.mean(axis=1).tolist()
        return means


@dataclass(frozen=True)
class KeepTrusted:
    """Of every round's annotations, keeps the share that the judge trusts most. The others were paid for."""

    judge: Judge = field(default_factory=PTrue)
    """Who judges the teacher's annotations."""
    share: float = 0.7
    """The share to keep, in (0, 1]; of equal confidences the seed decides."""
    filter_warmup: bool = True
    """Whether the warm-up round is filtered too."""

    def __post_init__(self) -> None:
        refuse_no_share(self.share)

    def requires(self) -> Requirements:
        """What the judge requires."""
        return self.judge.requires()

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """A weight of 1 or 0 for every new annotation."""
        trust = _confidences(self.judge, new, context)
        ranked = sorted(trust, key=lambda row_id: (-trust[row_id], context.rng("ties", row_id).random()))
        kept = len(ranked) if context.round.warmup and not self.filter_warmup else round(self.share * len(ranked))
        return {
            row_id: Weight(
                float(place < kept),
                f"judge's confidence {trust[row_id]:.4f}, place {place + 1} of {len(new)}",
                {"confidence": trust[row_id], "place": place + 1, "kept": kept},
            )
            for place, row_id in enumerate(ranked)
        }


@dataclass(frozen=True)
class KeepAboveThreshold:
    """Keeps the annotations of which the judge is sure enough."""

    judge: Judge = field(default_factory=PTrue)
    """Who judges the teacher's annotations."""
    threshold: float = 0.5
    """The least confidence, in [0, 1]."""
    filter_warmup: bool = True
    """Whether the warm-up round is filtered too."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold} of a confidence must lie in [0, 1]")

    def requires(self) -> Requirements:
        """What the judge requires."""
        return self.judge.requires()

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """A weight of 1 or 0 for every new annotation."""
        everything = context.round.warmup and not self.filter_warmup
        return {
            row_id: Weight(
                float(everything or confidence >= self.threshold),
                f"judge's confidence {confidence:.4f}, threshold {self.threshold:g}",
                {"confidence": confidence, "threshold": self.threshold},
            )
            for row_id, confidence in _confidences(self.judge, new, context).items()
        }


@dataclass(frozen=True)
class TrustAsWeight:
    """An extension that no source describes: the judge's confidence multiplies the loss of an annotation."""

    judge: Judge = field(default_factory=PTrue)

    def requires(self) -> Requirements:
        """What the judge requires."""
        return self.judge.requires()

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """The confidence as the weight of every new annotation."""
        return {
            row_id: Weight(confidence, f"judge's confidence {confidence:.4f}", {"confidence": confidence})
            for row_id, confidence in _confidences(self.judge, new, context).items()
        }


def _confidences(judge: Judge, rows: Sequence[Annotation], context: Context) -> dict[str, float]:
    """Annotation id -> how sure the judge is of it."""
    found = judge.confidences([Solution.of(row) for row in rows], context)
    return dict(zip((row.id for row in rows), found, strict=True))
