"""SCOTT (Wang et al., ACL 2023): rationales by contrastive decoding, which say why this answer and not another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
    counterfactual: bool = False
    """Whether a random wrong choice is explained too, in contrast to the gold answer."""
    max_new_tokens: int = 128
    """The most tokens of a rationale. The cap is part of the method: a text that it cuts is kept as it is."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight={self.weight} is not between 0 (plain greedy decoding) and 1")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={self.max_new_tokens} must be at least 1")

    @property
    def kinds(self) -> frozenset[str]:
        """`rationale` explains the gold answer, `counterfactual` a wrong choice."""
        return frozenset({"rationale", "counterfactual"} if self.counterfactual else {"rationale"})

    def requires(self) -> Requirements:
        """Gold answers, a teacher that shows its probabilities, and choices to take a wrong answer from."""
        return Requirements(
            gold=True,
            choices=self.counterfactual or self.perturbed_answer == "wrong",
            teacher_roles=frozenset({ROLE}),
            teacher_probabilities=True,
        )

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request per explanation."""
        teacher = context.teachers[0]
        sides = self._sides(question, context).values()
        return [PlannedRequest(teacher, self._request(question, *side, context)) for side in sides]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One annotation per explanation, with the answer that it explains; None where the teacher wrote nothing."""
        question, teacher, found = pick.question, context.teachers[0], []
        for kind, (answer, perturbed) in self._sides(question, context).items():
            request = self._request(question, answer, perturbed, context)
            [reply] = await ask(teacher, request)
            found.append(
                Annotation(
                    question=question,
                    kind=kind,
                    source=teacher,
                    rationale=reply.text.strip() or None,
                    answer=answer,
                    evidence={
                        **pick.evidence,
                        **({"gold_given": True} if kind == "rationale" else {}),
                        "finish": reply.finish,
                        "perturbed_answer": perturbed,
                    },
                    exchanges=(Exchange(teacher, request, reply),),
                )
            )
        return found

    def _sides(self, question: Question, context: PlanContext) -> Mapping[str, tuple[str, str]]:
        """Kind -> (answer to explain, perturbed answer)."""
        gold = context.gold(question).answer
        perturbed = "" if self.perturbed_answer == "empty" else _drawn_wrong("perturbed_answer", question, context)
        right = {"rationale": (gold, perturbed)}
        if not self.counterfactual:
            return right
        return {**right, "counterfactual": (_drawn_wrong("counterfactual", question, context), gold)}

    def _request(self, question: Question, answer: str, perturbed: str, context: PlanContext) -> Request:
        """One request with both prompts; its cap is part of the method."""
        shown = context.prompt(ROLE, question, answer=answer)
        other = context.prompt(ROLE, question, answer=perturbed)
        return replace(
            shown,
            max_new_tokens=self.max_new_tokens,
            cap_is_final=True,
            contrast=Contrast(other.prompt, self.weight, one_line=True),
        )


def _drawn_wrong(purpose: str, question: Question, context: PlanContext) -> str:
    """A random wrong choice, drawn once per question and purpose."""
    gold = context.gold(question).answer
    wrong = [choice for choice in question.choices or () if choice != gold]
    return wrong[int(context.data_rng(purpose, question.id).integers(len(wrong)))]
