"""Rejection sampling: the student learns from those of its own explanations whose answer is right.

After RFT (Yuan et al., 2023) and best of n; it stands beside on-policy distillation as the arm that asks no teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from benchmark.contract import STUDENT, AskModels, Context, PlanContext, Requirements
from benchmark.types import Annotation, Exchange, Pick, PlannedRequest, Question

ROLE = "rationale_and_answer"


@dataclass(frozen=True)
class RejectionSampling:
    """The student explains and answers several times; its first explanation with the right answer is kept.

    Begin with a student that can write: one that is never right learns from nothing.
    """

    samples: int = 4
    """How many explanations the student writes for each question."""
    temperature: float = 1.0
    """The temperature of its text, above 0 where there are several samples."""
    max_new_tokens: int | None = None
    """The most tokens of an explanation; None takes the student's own cap."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale", "sample"})
    """`rationale` is what was kept; formats train on no `sample`."""

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.samples > 1 and not self.temperature > 0):
            raise ValueError(
                f"samples={self.samples} at temperature={self.temperature}: take at least 1, and a temperature above 0 "
                "where there are several, because they would all be the same"
            )

    def requires(self) -> Requirements:
        """Gold answers for the check, and a format in which the student explains and answers in one text."""
        return Requirements(gold=True, student_roles=frozenset({ROLE}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """Nothing: no teacher is asked."""
        return []

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One annotation per sample: the first right one is the `rationale`, every other one a `sample`.

        The evidence `right` is the checker's verdict. Notes count `own_samples`, `own_right` of them, and the questions
        `without_right_sample`, from which nothing is learnt.
        """
        question, gold = pick.question, context.gold(pick.question)
        asked = context.format.request(question, ROLE, context.task)
        request = replace(asked, temperature=self.temperature, max_new_tokens=self.max_new_tokens)
        rows = []
        for sample, reply in enumerate(await ask(STUDENT, request, self.samples)):
            rationale, stated = context.format.read(reply.text)
            answer = context.task.parse(question, stated)
            right = context.task.is_correct(gold, answer)
            row = Annotation(
                question=question,
                kind="sample",
                source=STUDENT,
                rationale=rationale,
                answer=answer,
                sample=sample,
                evidence={**pick.evidence, "right": right, "finish": reply.finish},
                exchanges=(Exchange(STUDENT, request, reply),),
            )
            rows.append(row)
        verdicts = [bool(row.evidence["right"]) for row in rows]
        context.note(own_samples=len(rows), own_right=sum(verdicts), without_right_sample=not any(verdicts))
        if any(verdicts):
            first = verdicts.index(True)
            rows[first] = replace(rows[first], kind="rationale")
        return rows
