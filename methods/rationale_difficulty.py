"""Rationale difficulty (MoRSD, Findings of EMNLP 2025): does a rationale make its answer likelier to the student?

`RD = PPL(answer | question, rationale) / PPL(answer | question)` under the student. The paper takes the teacher's
rationales. A selection ranks before those are bought, so rationale and answer are the student's own here ([R]).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements
from benchmark.evaluation.early_answers import Beginning, answer_log_probabilities
from benchmark.types import Json, Pick, Question
from methods.answers import sampled
from methods.ranks import best_first

Direction = Literal["easy", "hard"]


@dataclass(frozen=True)
class RationaleDifficulty:
    """Ranks by the rationale difficulty of the student's own greedy rationale and answer.

    Perplexities are per character of the answer, since the number of its tokens is not reported.
    """

    direction: Direction = "easy"
    """`easy`: the lowest RD first, as in the paper. `hard`: the highest first."""

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise ValueError(f"direction={self.direction!r} is unknown; choose easy or hard")

    def requires(self) -> Requirements:
        """A student that explains before it answers, and that answers from a given rationale or from none."""
        return Requirements(student_roles=frozenset({"rationale_and_answer", "answer_given"}))

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """In a warm-up round at random. The score is -ln RD for `easy` and ln RD for `hard`.

        A text without a readable answer counts as harder than all others, and in `unread_answers`.
        """
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        found = sampled(pool, context, 1, 0.0, "greedy")
        rationales = [context.format.read(each.texts[0])[0] for each in found]
        known = [i for i, each in enumerate(found) if each.answers[0] is not None]
        logs = self._log_difficulties([(pool[i], rationales[i], found[i].answers[0] or "") for i in known], context)
        hardest = max(logs, default=0.0) + 1
        difficulties = [hardest] * len(pool)
        evidence: list[dict[str, Json]] = [
            {"rationale": rationale, "answer": each.answers[0], "rationale_difficulty": None}
            for rationale, each in zip(rationales, found, strict=True)
        ]
        for i, difficulty in zip(known, logs, strict=True):
            difficulties[i] = difficulty
            evidence[i]["rationale_difficulty"] = math.exp(min(difficulty, 700.0))  # exp(710) is no number any more
        sign = -1 if self.direction == "easy" else 1
        return best_first(pool, [sign * difficulty for difficulty in difficulties], context, evidence)

    def _log_difficulties(self, asked: Sequence[tuple[Question, str, str]], context: Context) -> list[float]:
        """The logarithm of RD per (question, rationale, answer): log-probability without minus with, per character."""
        parts = [
            (Beginning(question, given), answer) for question, rationale, answer in asked for given in (rationale, "")
        ]
        found = answer_log_probabilities(context.student, context.format, context.task, parts)
        return [
            (without - given) / max(1, len(answer))
            for given, without, (_, _, answer) in zip(found[::2], found[1::2], asked, strict=True)
        ]
