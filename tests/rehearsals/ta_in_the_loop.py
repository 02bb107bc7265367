"""Teaching-Assistant-in-the-Loop (Zhou and Ai, Findings of ACL 2024): three signals, in two stages.

The student's disagreement with itself and the assistant's doubt about it choose the questions; the assistant's trust in
the teacher's annotations keeps some of them. A small first stage warms the student up until its signal means something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements, TextModel
from benchmark.types import Annotation, Pick, Question, Round, RoundLog, Span, TrainingExample, Weight

EXPLAIN = "rationale_and_answer"


@dataclass(frozen=True)
class WarmUpThenRest:
    """A small share of the budget first; the student then goes on from where the warm-up left it."""

    warmup: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup={self.warmup} leaves nothing to one of the two stages")

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Two rounds."""
        stages = (Round(0, self.warmup, warmup=True), Round(1, 1 - self.warmup, restart=False))
        return stages[len(history)] if len(history) < len(stages) else None


@dataclass(frozen=True)
class Judge:
    """P(True): how much more probable the assistant finds one word than the other, as a verdict on a solution.

    The prompt does not say who wrote the solution, so that student and teacher are judged alike.
    """

    template: str = "{question}\n{solution}\nIs this solution right?"
    right: str = "True"
    wrong: str = "False"

    def confidences(self, solutions: Sequence[tuple[str, str]], assistant: TextModel) -> list[float]:
        """In [0, 1] for every (question as shown, solution)."""
        verdicts = [
            TrainingExample("verdict", "verdict", self.template.format(question=q, solution=s), (Span(word),))
            for q, s in solutions
            for word in (self.right, self.wrong)
        ]
        scores = [sum(of_tokens[:-1]) for of_tokens in assistant.target_log_probabilities(verdicts)]  # EOS left out
        return [float(expit(right - wrong)) for right, wrong in zip(scores[::2], scores[1::2], strict=True)]


def solution(rationale: str | None, answer: str | None) -> str:
    """A solution as the judge reads it."""
    return f"{rationale or ''}\nAnswer: {answer}"


@dataclass(frozen=True)
class StudentDoubt:
    """Ranks by how many different answers the student samples, and by the assistant's doubt about the usual one."""

    judge: Judge = Judge()
    samples: int = 5
    temperature: float = 0.7
    alpha: float = 0.5

    def requires(self) -> Requirements:
        """An assistant, and a student that explains."""
        return Requirements(assistant=True, student_roles=frozenset({EXPLAIN}))

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most doubtful first; in the warm-up round at random, because the student's signal means nothing yet."""
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        requests = [
            replace(context.format.request(q, EXPLAIN, context.task), temperature=self.temperature) for q in pool
        ]
        replies = context.student.generate(requests, self.samples, key="self-consistency")
        texts = [[reply.text for reply in of_question] for of_question in replies]
        answers = [_answers(question, said, context) for question, said in zip(pool, texts, strict=True)]
        usual = [Counter(of_question).most_common(1)[0][0] for of_question in answers]
        examples = [said[found.index(most)] for said, found, most in zip(texts, answers, usual, strict=True)]
        trust = self._trust(pool, examples, usual, context)
        distinct = [len(set(of_question)) for of_question in answers]
        score = self.alpha * _rank01(distinct) + (1 - self.alpha) * _rank01([1 - confidence for confidence in trust])
        order = np.lexsort((context.rng("ties").random(len(pool)), np.array(trust), -score))
        return [
            Pick(
                pool[i],
                float(score[i]),
                {"answers": answers[i], "usual": usual[i], "distinct": distinct[i], "assistant_confidence": trust[i]},
            )
            for i in order
        ]

    def _trust(
        self, pool: Sequence[Question], texts: Sequence[str], answers: Sequence[str | None], context: Context
    ) -> list[float]:
        solutions = [
            (context.task.show(question), solution(context.format.read(text)[0], answer))
            for question, text, answer in zip(pool, texts, answers, strict=True)
        ]
        return self.judge.confidences(solutions, context.assistant)


def _answers(question: Question, texts: Sequence[str], context: Context) -> list[str | None]:
    """Answers, not texts: at temperature 0.7 no two chains of thought are the same."""
    return [context.task.parse(question, context.format.read(text)[1]) for text in texts]


def _rank01(values: Sequence[float]) -> np.ndarray:
    """Ranks scaled to [0, 1], their mean on ties."""
    ranks: np.ndarray = (rankdata(values) - 1) / max(1, len(values) - 1)
    return ranks


@dataclass(frozen=True)
class KeepTrusted:
    """Of every round's annotations, keeps the share that the assistant trusts most. The others were paid for."""

    judge: Judge = Judge()
    share: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} is not a share of the annotations to keep")

    def requires(self) -> Requirements:
        """An assistant."""
        return Requirements(assistant=True)

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """A weight of 1 or 0 for every new annotation."""
        solutions = [(context.task.show(row.question), solution(row.rationale, row.answer)) for row in new]
        trust = dict(zip((row.id for row in new), self.judge.confidences(solutions, context.assistant), strict=True))
        ranked = sorted(trust, key=lambda row_id: (-trust[row_id], row_id))
        kept = round(self.share * len(ranked))
        return {
            row_id: Weight(
                float(place < kept),
                f"assistant's confidence {trust[row_id]:.4f}, place {place + 1} of {len(new)}",
                {"confidence": trust[row_id], "place": place + 1, "kept": kept},
            )
            for place, row_id in enumerate(ranked)
        }
