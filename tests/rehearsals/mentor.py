"""Mentor-KD: a mid-size model that a cell has trained writes more chains of thought, and gives soft labels.

`L = (1 - weight) * CE + weight * tau^2 * KL(mentor || student)` on the chains whose answer is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.data_policy import FixedData
from benchmark.axes.loss import CrossEntropy
from benchmark.contract import (
    ASSISTANT,
    Annotator,
    AskModels,
    Context,
    DataPolicy,
    PlanContext,
    Requirements,
    StepModel,
    StepState,
)
from benchmark.types import Annotation, Exchange, Pick, PlannedRequest, Question, Term, Weight

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch


@dataclass(frozen=True)
class WithMentor:
    """What the teacher writes, then `samples` chains by the mentor, asked as the student is asked."""

    inner: Annotator = field(default_factory=FewShotCot)
    samples: int = 2
    temperature: float = 0.7

    @property
    def kinds(self) -> frozenset[str]:
        return self.inner.kinds | {"rationale"}

    def requires(self) -> Requirements:
        return self.inner.requires() | Requirements(assistant=True)

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """The mentor costs nothing."""
        return self.inner.most_requests(question, context)

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        rows = list(await self.inner.annotate(pick, context, ask))
        asked = context.format.request(pick.question, context.format.answer_path[-1], context.task)
        request = replace(asked, temperature=self.temperature)
        for sample, reply in enumerate(await ask(ASSISTANT, request, self.samples)):
            rationale, answer = context.format.read(reply.text)
            rows.append(
                Annotation(
                    question=pick.question,
                    kind="rationale",
                    source=ASSISTANT,
                    rationale=rationale,
                    answer=context.task.parse(pick.question, answer),
                    sample=sample,
                    exchanges=(Exchange(ASSISTANT, request, reply),),
                )
            )
        return rows


@dataclass(frozen=True)
class RightAnswersOnly:
    """Drops every chain whose answer is not the gold one, and says that it looks at gold."""

    def requires(self) -> Requirements:
        return Requirements(gold=True)

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        wrong = [row for row in new if not context.task.is_correct(context.gold(row.question), row.answer)]
        context.note(wrong_chains=len(wrong))
        return {row.id: Weight(0.0, "its answer is not the gold one") for row in wrong}


@dataclass(frozen=True)
class SoftLabels:
    """Cross-entropy and forward KL to the mentor, on the same tokens."""

    weight: float = 0.3
    tau: float = 1.0
    data_policy: DataPolicy = field(default_factory=FixedData)

    @property
    def settings(self) -> Mapping[str, float]:
        return {}

    def requires(self) -> Requirements:
        return Requirements(distributions=frozenset({ASSISTANT}))

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        hard = CrossEntropy().terms(of_format, settings)
        found = {name: replace(term, coefficient=(1 - self.weight) * term.coefficient) for name, term in hard.items()}
        return {**found, "mentor": Term(frozenset({"*"}), self.weight)}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        from methods.divergences import forward_kl, softened

        mentor = state.frozen[ASSISTANT]
        logits = student.logits(student.hidden(batch))
        both = (logits, mentor.logits(mentor.hidden(batch)))
        ours, theirs = (softened(each.log_softmax(-1), self.tau) for each in both)
        soft = self.tau**2 * forward_kl(ours, theirs)
        hard = cross_entropy(logits, batch.tokens, reduction="none")
        return {name: (scale * (soft if name == "mentor" else hard)).sum() for name, scale in batch.scale.items()}
