"""ELAD (Zhang et al., Findings of ACL 2024): the student's shakiest explanations are patched, not written anew.

Selection looks at how uncertain the student's own explanations are. The teacher then checks one of them step by step
and replaces only what is wrong, and the student goes on from there (`patch_and_continue`). No gold answer is read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
from scipy.stats import rankdata

from benchmark.axes.selection import RandomSelection
from benchmark.contract import STUDENT, AskModels, Context, PlanContext, Requirements
from benchmark.teachers.replies import ANSWER_CLAUSE, split_answer
from benchmark.types import Annotation, Exchange, Json, Pick, PlannedRequest, Question, Request, Round, RoundLog

EXPLAIN, ANSWER_NOW = "rationale_and_answer", "answer_given"


def steps_of(rationale: str, separator: str) -> list[str]:
    """The steps of a written rationale, without empty ones."""
    return [step for step in rationale.split(separator) if step.strip()]


@dataclass(frozen=True)
class UntilApproved:
    """Equal rounds, a random one first; the student is sufficient once the teacher finds hardly a flaw in a batch."""

    rounds: int = 4
    tolerated_flaws: float = 0.1

    def requires(self) -> Requirements:
        """Nothing: without notes on flaws it never ends early."""
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """Revision counts flaws anyway, so that this rule costs no call."""
        if len(history) == self.rounds or (history and self._is_sufficient(history[-1].notes)):
            return None
        return Round(len(history), 1 / self.rounds, warmup=not history)

    def _is_sufficient(self, notes: Mapping[str, float]) -> bool:
        return "checked" in notes and notes["flawed"] <= self.tolerated_flaws * notes["checked"]


@dataclass(frozen=True)
class ExplanationUncertainty:
    """Ranks by how far steps move the answer within explanations, and how far answers differ between them.

    Both terms have few levels, so their ranks are mixed rather than their values.
    """

    explanations: int = 5
    temperature: float = 0.7
    alpha: float = 0.5
    separator: str = ";"

    def __post_init__(self) -> None:
        if self.explanations < 2:
            raise ValueError(f"explanations={self.explanations} cannot differ from each other; take at least 2")

    def requires(self) -> Requirements:
        """A student that explains, and that answers from a part of an explanation."""
        return Requirements(student_roles=frozenset({EXPLAIN, ANSWER_NOW}))

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """Most uncertain first; in a warm-up round, whose student cannot explain yet, at random."""
        if context.round.warmup:
            return RandomSelection().rank(pool, context)
        requests = [
            replace(context.format.request(q, EXPLAIN, context.task), temperature=self.temperature) for q in pool
        ]
        replies = context.student.generate(requests, self.explanations, key="explanations")
        texts = [[reply.text for reply in of_question] for of_question in replies]
        intra = self._step_uncertainty(pool, texts, context)
        inter = [self._answer_uncertainty(q, of_question, context) for q, of_question in zip(pool, texts, strict=True)]
        score = self.alpha * _rank01(intra) + (1 - self.alpha) * _rank01(inter)
        order = np.lexsort((context.rng("ties").random(len(pool)), -score))
        return [
            Pick(pool[i], float(score[i]), {"explanations": texts[i], "intra": intra[i], "inter": inter[i]})
            for i in order
        ]

    def _step_uncertainty(
        self, pool: Sequence[Question], texts: Sequence[Sequence[str]], context: Context
    ) -> list[float]:
        """Per question the mean over explanations of the share of steps behind which the early answer is another."""
        early = self._early_answers(pool, texts, context)

        def moved(question: Question, text: str) -> float:
            answers = [early[request] for request in self._early_asks(question, text, context)]
            answers.append(_answer(question, text, context))  # all steps lead to the explanation's own answer
            return sum(before != after for before, after in pairwise(answers)) / max(1, len(answers) - 1)

        return [
            float(np.mean([moved(question, text) for text in of_question]))
            for question, of_question in zip(pool, texts, strict=True)
        ]

    def _early_answers(
        self, pool: Sequence[Question], texts: Sequence[Sequence[str]], context: Context
    ) -> dict[Request, str | None]:
        """Every distinct early answer, asked for once: explanations of one question often begin alike."""
        requests = {
            request: question
            for question, of_question in zip(pool, texts, strict=True)
            for text in of_question
            for request in self._early_asks(question, text, context)
        }
        replies = context.student.generate(list(requests), key="early answers")
        return {
            request: _answer(question, request.prefix + reply.text, context)
            for (request, question), [reply] in zip(requests.items(), replies, strict=True)
        }

    def _early_asks(self, question: Question, text: str, context: Context) -> list[Request]:
        """One request before each step: answer now, from the steps so far."""
        steps = steps_of(context.format.read(text)[0], self.separator)
        partial = [self.separator.join(steps[:count]) for count in range(len(steps))]
        return [context.format.request(question, ANSWER_NOW, context.task, given) for given in partial]

    def _answer_uncertainty(self, question: Question, texts: Sequence[str], context: Context) -> float:
        """The entropy of the explanations' answers, in [0, 1]; what cannot be read is an answer of its own."""
        counts = Counter(_answer(question, text, context) for text in texts)
        shares = [count / len(texts) for count in counts.values()]
        return sum(share * math.log(1 / share) for share in shares) / math.log(len(texts))


def _answer(question: Question, text: str, context: Context) -> str | None:
    return context.task.parse(question, context.format.read(text)[1])


def _rank01(values: Sequence[float]) -> np.ndarray:
    """Ranks scaled to [0, 1], their mean on ties."""
    ranks: np.ndarray = (rankdata(values) - 1) / max(1, len(values) - 1)
    return ranks


@dataclass(frozen=True)
class _Talk:
    """The conversation about one question, written down as it goes."""

    question: Question
    context: Context
    ask: AskModels
    exchanges: list[Exchange] = field(default_factory=list)

    async def teacher(self, role: str, **variables: Json) -> str:
        return await self._say(self.context.teachers[0], self.context.prompt(role, self.question, **variables))

    async def student(self, begun: str) -> str:
        """What the student makes of a begun explanation, the beginning included."""
        request = self.context.format.request(self.question, EXPLAIN, self.context.task, begun)
        return begun + await self._say(STUDENT, request)

    async def _say(self, who: str, request: Request) -> str:
        [reply] = await self.ask(who, request)
        self.exchanges.append(Exchange(who, request, reply))
        return reply.text


@dataclass(frozen=True)
class PatchAndContinue:
    """The teacher accepts steps one by one and replaces the first flawed one; the student continues from there.

    Accepted steps stay as the student wrote them, which makes the explanation its own. After `patches` replaced steps
    the teacher writes the rest itself.
    """

    patches: int = 3
    most_steps: int = 8
    separator: str = ";"
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    def requires(self) -> Requirements:
        """A teacher that judges, fixes and rewrites, and a student that explains."""
        roles = frozenset({"verify", "fix", "finish"})
        return Requirements(teacher_roles=roles, student_roles=frozenset({EXPLAIN}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """`most_steps` acceptances, and for each patch and the rewrite a rejection and a reply."""
        verify = context.prompt("verify", question, accepted="", line="")
        fix, rewrite = (context.prompt(role, question, accepted="", rejected="") for role in ("fix", "finish"))
        said = Request(EXPLAIN, "", question.id)  # the student's own, up to its cap
        holds = (*[said] * (self.patches + 1), *[fix] * self.patches)
        requests = [*[verify] * (self.most_steps + self.patches + 1), *[fix] * self.patches, rewrite]
        return [PlannedRequest(context.teachers[0], request, 1, holds) for request in requests]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale`; its source is the student where the teacher found nothing to change."""
        question, talk = pick.question, _Talk(pick.question, context, ask)
        explanations = pick.evidence.get("explanations")
        said = text = explanations[0] if explanations else await talk.student("")
        kept: list[str] = []
        flaws: list[int] = []
        written, survived = 0, 0
        stated: str | None = None
        while True:
            before = len(kept)
            written += len(self._new_steps(text, kept, context))
            flawed = await self._first_flaw(text, kept, talk)
            survived += len(kept) - before
            if flawed is None:
                stated = context.format.read(text)[1]
                break
            flaws.append(len(kept))
            role = "fix" if len(flaws) <= self.patches else "finish"
            reply = await talk.teacher(role, accepted=self.separator.join(kept), rejected=flawed)
            of_teacher, stated = split_answer(reply)
            kept += steps_of(of_teacher or "", self.separator)
            if stated is not None or role == "finish":
                break
            text = await talk.student(self.separator.join(kept))
        context.note(checked=1, flawed=int(bool(flaws)), written=written, survived=survived)
        return [
            Annotation(
                question=question,
                kind="rationale",
                source=context.teachers[0] if flaws else STUDENT,
                rationale=self.separator.join(kept),
                answer=None if stated is None else context.task.parse(question, stated),
                evidence={
                    **pick.evidence,
                    "said": said,
                    "flaws": flaws,
                    "rewritten": len(flaws) > self.patches,
                },
                exchanges=tuple(talk.exchanges),
            )
        ]

    def _new_steps(self, text: str, kept: Sequence[str], context: Context) -> list[str]:
        """The steps that the student wrote behind those that are kept."""
        return steps_of(context.format.read(text)[0][len(self.separator.join(kept)) :], self.separator)

    async def _first_flaw(self, text: str, kept: list[str], talk: _Talk) -> str | None:
        """The first step behind `kept`, or the answer, that the teacher rejects; what it accepts is added to `kept`.

        A step beyond `most_steps` counts as a flaw without being asked about.
        """
        answer = talk.context.format.read(text)[1]
        for step in self._new_steps(text, kept, talk.context):
            if len(kept) >= self.most_steps or not await self._is_accepted(step, kept, talk):
                return step
            kept.append(step)
        conclusion = f"{ANSWER_CLAUSE} {answer}."
        return None if await self._is_accepted(conclusion, kept, talk) else conclusion

    async def _is_accepted(self, line: str, kept: Sequence[str], talk: _Talk) -> bool:
        verdict = await talk.teacher("verify", accepted=self.separator.join(kept), line=line)
        return verdict.strip().lower().startswith("yes")
