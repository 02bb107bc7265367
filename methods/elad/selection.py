"""ELAD's selection: how far steps move the student's answer, and how far its explanations disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.spatial.distance import jensenshannon

from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements, Task
from benchmark.evaluation.early_answers import (
    ROLES,
    Beginning,
    Distribution,
    Way,
    beginnings,
    early_answers,
    early_distributions,
    without_each_step,
)
from benchmark.types import Pick, Question
from methods.answers import refuse_too_few_samples, sampled
from methods.ranks import Disagreement, best_first, disagreement, rank01, refuse_unknown

EXPLAIN = "rationale_and_answer"
Reading = Literal["prefix", "removal"]
Reduction = Literal["mean", "sum", "max"]
Combination = Literal["rank_mean", "sum", "product"]
Explained = Literal["sampled", "greedy"]
_REDUCE: Mapping[Reduction, Callable[[Sequence[float]], float]] = {
    "mean": lambda moves: sum(moves) / max(1, len(moves)),
    "sum": lambda moves: float(sum(moves)),
    "max": lambda moves: max(moves, default=0.0),
}


@dataclass(frozen=True)
class StepUncertainty:
    """How far each step of an explanation moves the student's answer (intra-explanation uncertainty), in [0, 1]."""

    reading: Reading = "prefix"
    """`prefix` compares the answers before and after a step, `removal` the answers with and without it."""
    way: Way = "finish"
    """`finish`: the student goes on with the explanation and then answers; `now`: it must answer at once."""
    soft: bool = False
    """False: the distance of two answers is 0 or 1. True: that of two distributions of answers. Over a question's
    options, answered `now`, it is the Jensen-Shannon divergence in bits; else 1 minus the chance of equal answers."""
    samples: int = 5
    """How many answers make a distribution where there are no options to score."""
    reduce: Reduction = "mean"
    """How the steps of one explanation become one number; a sum grows with the number of steps."""
    explanations: Explained = "sampled"
    """`sampled`: the mean over all sampled explanations. `greedy`: one greedy explanation alone."""

    def __post_init__(self) -> None:
        refuse_unknown(
            reading=(self.reading, Reading),
            way=(self.way, Way),
            reduce=(self.reduce, Reduction),
            explanations=(self.explanations, Explained),
        )
        if self.soft and self.samples < 2:
            raise ValueError(f"samples={self.samples} make no distribution; take at least 2")

    def moves(self, explained: Sequence[tuple[Question, str]], context: Context) -> list[list[float]]:
        """Per (question, what the student wrote) one number in [0, 1] per step; empty for a text without steps.

        Counts `early_answers` and `unread_early_answers` with `Context.note`.
        """
        read = [(question, *context.format.read(text)) for question, text in explained]
        parts = [[Beginning(q, part) for part in self._parts(context.task, why)] for q, why, _ in read]
        wholes = [Beginning(question, why) for question, why, _ in read]
        asked = [part for of_text in parts for part in of_text]
        if self.soft:
            found = self._distributions([*asked, *wholes], context)
            ends = [found[whole] for whole in wholes]
        else:  # all steps lead to the explanation's own answer
            found = self._hard(asked, context)
            ends = [{context.task.parse(question, stated): 1.0} for question, _, stated in read]
        return [
            [self._distance(question, *pair) for pair in self._pairs([found[part] for part in of_text], end)]
            for (question, _, _), of_text, end in zip(read, parts, ends, strict=True)
        ]

    def of(self, moves: Sequence[Sequence[float]]) -> float:
        """The uncertainty of one question from the steps of its explanations: the mean over explanations."""
        return float(np.mean([_REDUCE[self.reduce](steps) for steps in moves]))

    def _parts(self, task: Task, why: str) -> list[str]:
        return beginnings(task, why) if self.reading == "prefix" else without_each_step(task, why)

    def _pairs(self, found: Sequence[Distribution], end: Distribution) -> list[tuple[Distribution, Distribution]]:
        """Per step the two distributions that it lies between, or that differ by it."""
        return [*pairwise([*found, end])] if self.reading == "prefix" else [(one, end) for one in found]

    def _hard(self, asked: Sequence[Beginning], context: Context) -> dict[Beginning, Distribution]:
        answers = early_answers(context.student, context.format, context.task, asked, self.way)
        context.note(early_answers=len(answers), unread_early_answers=list(answers.values()).count(None))
        return {part: {answer: 1.0} for part, answer in answers.items()}

    def _distributions(self, asked: Sequence[Beginning], context: Context) -> dict[Beginning, Distribution]:
        student, form, task = context.student, context.format, context.task
        found = early_distributions(student, form, task, asked, self.way, self.samples)
        unread = sum(shares.get(None, 0.0) for shares in found.values())
        context.note(early_answers=len(found), unread_early_answers=unread)
        return found

    def _distance(self, question: Question, one: Distribution, other: Distribution) -> float:
        if self.soft and self.way == "now" and question.choices:
            pair = ([shares[choice] for choice in question.choices] for shares in (one, other))
            return float(np.nan_to_num(jensenshannon(*pair, base=2))) ** 2  # the square root of tiny negatives is NaN
        return 1 - sum(share * other.get(answer, 0.0) for answer, share in one.items())


@dataclass(frozen=True)
class ExplanationUncertainty:
    """Ranks by how far steps move the answer within explanations, and how far answers differ between them.

    Both terms have few levels, so that by default their ranks are mixed and not their values.
    """

    explanations: int = 5
    """How many explanations the student samples for each question."""
    temperature: float = 0.7
    """The temperature at which it does."""
    intra: StepUncertainty = StepUncertainty()
    """How steps move the answer within an explanation."""
    inter: Disagreement = "entropy"
    """How far the answers of several explanations differ: a measure of `methods.ranks.disagreement`."""
    combine: Combination = "rank_mean"
    """`rank_mean` and `sum` weigh ranks or values by alpha and 1 - alpha; `product` multiplies values."""
    alpha: float = 0.5
    """The weight of the first term, in [0, 1]; at 1 and 0 only one term counts, and at 0 no early answer is asked."""

    def __post_init__(self) -> None:
        refuse_unknown(inter=(self.inter, Disagreement), combine=(self.combine, Combination))
        refuse_too_few_samples(self.explanations, self.temperature, "explanations")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} is no weight between 0 and 1")

    def requires(self) -> Requirements:
        """A student that explains, and that answers from a part of an explanation."""
        return Requirements(student_roles=frozenset({EXPLAIN, ROLES[self.intra.way]}))

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most uncertain first; in a warm-up round, whose student cannot explain yet, at random.

        The evidence keeps the explanations, the first of which a revision takes, and a number for every step.
        """
        if context.round.warmup or not pool:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, self.explanations, self.temperature)
        texts = [list(each.texts) for each in found]
        if self.intra.explanations == "greedy":
            texts = [list(each.texts) for each in sampled(pool, context, 1, 0.0, "greedy explanations")]
        explained = [
            (question, text) for question, of_question in zip(pool, texts, strict=True) for text in of_question
        ]
        moves = self.intra.moves(explained, context) if self.alpha > 0 else [[] for _ in explained]
        each = len(texts[0])
        of_questions = [moves[i * each : (i + 1) * each] for i in range(len(pool))]
        intra = [self.intra.of(of_question) for of_question in of_questions]
        inter = [disagreement(one.answers, self.inter) for one in found]
        evidence = [
            {
                "explanations": texts[i] if self.intra.explanations == "sampled" else [*texts[i], *found[i].texts],
                "answers": list(found[i].answers),
                "steps": of_questions[i],
                "intra": intra[i],
                "inter": inter[i],
            }
            for i in range(len(pool))
        ]
        return best_first(pool, self._combined(np.array(intra), np.array(inter)), context, evidence)

    def _combined(self, intra: np.ndarray, inter: np.ndarray) -> np.ndarray:
        combined: np.ndarray = intra * inter
        if self.combine == "product":
            return combined
        if self.combine == "rank_mean":
            intra, inter = rank01(intra), rank01(inter)
        combined = self.alpha * intra + (1 - self.alpha) * inter
        return combined
