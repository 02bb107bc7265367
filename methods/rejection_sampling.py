"""Rejection sampling: the student learns from its own explanations that end in the right answer.

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
        replies = await ask(STUDENT, request, self.samples)
        texts = [context.format.read(reply.text) for reply in replies]
        answers = [context.task.parse(question, stated) for _, stated in texts]
        right = [context.task.is_correct(gold, answer) for answer in answers]
        first = right.index(True) if any(right) else None
        context.note(own_samples=len(right), own_right=sum(right), without_right_sample=first is None)
        return [
            Annotation(
                question=question,
                kind="rationale" if sample == first else "sample",
                source=STUDENT,
                rationale=texts[sample][0],
                answer=answers[sample],
                sample=sample,
                evidence={**pick.evidence, "right": right[sample], "finish": reply.finish},
                exchanges=(Exchange(STUDENT, request, reply),),
            )
            for sample, reply in enumerate(replies)
        ]
