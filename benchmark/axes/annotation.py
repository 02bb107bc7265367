"""Annotators that several methods share: few-shot chains of thought, human labels, and both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmark.contract import Annotator, AskModels, Context, PlanContext, Requirements
from benchmark.teachers.replies import split_answer
from benchmark.types import Annotation, Ask, Exchange, Pick, PlannedRequest, Question


@dataclass(frozen=True)
class FewShotCot:
    """The teacher reasons after a few worked examples and states its own answer (Wei et al., 2022)."""

    samples: int = 1
    temperature: float = 0.0
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    def __post_init__(self) -> None:
        if self.samples < 1 or self.temperature < 0:
            raise ValueError(f"samples={self.samples} must be at least 1, temperature={self.temperature} at least 0")

    def requires(self) -> Requirements:
        """A teacher that takes the few-shot prompt."""
        return Requirements(teacher_roles=frozenset({"few_shot_cot"}))

    def planned(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request for all samples."""
        return [PlannedRequest(context.teachers[0], self._request(question, context), self.samples)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale` annotation a sample; `answer` is None where the reply states none that the task can read."""
        question, teacher = pick.question, context.teachers[0]
        request = self._request(question, context)
        annotations = []
        for sample, reply in enumerate(await ask(teacher, request, self.samples)):
            rationale, answer = split_answer(reply.text)
            annotations.append(
                Annotation(
                    question=question,
                    kind="rationale",
                    source=teacher,
                    rationale=rationale,
                    answer=None if answer is None else context.task.parse(question, answer),
                    sample=sample,
                    evidence={**pick.evidence, "confidence": reply.confidence, "finish": reply.finish},
                    exchanges=(Exchange(teacher, request, reply),),
                )
            )
        return annotations

    def _request(self, question: Question, context: PlanContext) -> Ask:
        return context.prompt("few_shot_cot", question, temperature=self.temperature)


@dataclass(frozen=True)
class HumanLabels:
    """The dataset's own answer and, where it has one, its human rationale."""

    rationale: bool = False
    kinds: ClassVar[frozenset[str]] = frozenset({"gold"})

    def requires(self) -> Requirements:
        """Gold answers, and gold rationales where they are asked for."""
        return Requirements(gold=True, gold_rationale=self.rationale)

    def planned(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """Nothing: no teacher is asked."""
        return []

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `gold` annotation."""
        example = context.gold(pick.question)
        rationale = example.rationale if self.rationale else None
        return [Annotation(pick.question, "gold", "human", rationale, example.answer, evidence=pick.evidence)]


@dataclass(frozen=True)
class Together:
    """What several annotators write about the same question, in order."""

    annotators: tuple[Annotator, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that any of them writes."""
        return frozenset[str]().union(*(annotator.kinds for annotator in self.annotators))

    def requires(self) -> Requirements:
        """What any of them requires."""
        needs = Requirements()
        for annotator in self.annotators:
            needs = needs | annotator.requires()
        return needs

    def planned(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """What all of them plan, in order."""
        return [request for annotator in self.annotators for request in annotator.planned(question, context)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """All annotations, annotator by annotator."""
        return [row for annotator in self.annotators for row in await annotator.annotate(pick, context, ask)]
