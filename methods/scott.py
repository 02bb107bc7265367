"""SCOTT (Wang et al., ACL 2023): rationales by contrastive decoding, which say why this answer and not another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from benchmark.contract import AskModels, Context, PlanContext, Requirements
from benchmark.types import Annotation, Contrast, Exchange, Pick, PlannedRequest, Question, Request

ROLE = "contrastive_decoding"


@dataclass(frozen=True)
class ContrastiveDecoding:
    """The teacher gets the gold answer and writes one line that explains it, in contrast to a perturbed answer.

    Each token is `argmax log P(t | q, gold, t<) - weight * log P(t | q, perturbed, t<)` (section 3.1). The rationale
    ends where the teacher ends the line, either by this rule or by the gold prompt alone.
    """

    perturbed_answer: Literal["wrong", "empty"] = "wrong"
    """The perturbed answer: a random wrong choice, or an empty text."""
    weight: float = 0.5
    """The weight of the contrast, in [0, 1]; 0 is plain greedy decoding."""
    max_new_tokens: int = 128
    """The most tokens of a rationale. The cap is part of the method: a text that it cuts is kept as it is."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})
    """The annotator writes rationales only."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight={self.weight} is not between 0 (plain greedy decoding) and 1")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={self.max_new_tokens} must be at least 1")

    def requires(self) -> Requirements:
        """Gold answers, a teacher that shows its probabilities, and choices to take a wrong answer from."""
        return Requirements(
            gold=True,
            choices=self.perturbed_answer == "wrong",
            teacher_roles=frozenset({ROLE}),
            teacher_probabilities=True,
        )

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """The one request."""
        return [PlannedRequest(context.teachers[0], self._request(question, context))]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale` annotation with the gold answer; its rationale is None where the teacher wrote nothing."""
        question, teacher = pick.question, context.teachers[0]
        request = self._request(question, context)
        [reply] = await ask(teacher, request)
        return [
            Annotation(
                question=question,
                kind="rationale",
                source=teacher,
                rationale=reply.text.strip() or None,
                answer=context.gold(question).answer,
                evidence={
                    **pick.evidence,
                    "gold_given": True,
                    "finish": reply.finish,
                    "perturbed_answer": self._perturbed(question, context),
                },
                exchanges=(Exchange(teacher, request, reply),),
            )
        ]

    def _request(self, question: Question, context: PlanContext) -> Request:
        """One request with both prompts; its cap is part of the method."""
        told = context.prompt(ROLE, question, answer=context.gold(question).answer)
        other = context.prompt(ROLE, question, answer=self._perturbed(question, context))
        return replace(
            told,
            max_new_tokens=self.max_new_tokens,
            cap_is_final=True,
            contrast=Contrast(other.prompt, self.weight, one_line=True),
        )

    def _perturbed(self, question: Question, context: PlanContext) -> str:
        if self.perturbed_answer == "empty":
            return ""
        gold = context.gold(question).answer
        wrong = [choice for choice in question.choices or () if choice != gold]
        return wrong[int(context.data_rng("perturbed_answer", question.id).integers(len(wrong)))]
