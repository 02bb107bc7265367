"""Weights with a sign, two ways: written into the target's spans by a format, and computed in training by a policy.

EDIT raises the likelihood of the signs in which a right chain of thought differs from a nearly equal wrong one, and
lowers it, a little, in the wrong one. The policy gradient does the same to the student's own tokens, by how much
likelier the teacher finds them than the student does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, ClassVar

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import (
    Annotator,
    AskModels,
    Context,
    DataPolicy,
    DataRng,
    PlanContext,
    Requirements,
    StepModel,
    StepState,
    Task,
)
from benchmark.types import Annotation, Json, Pick, PlannedRequest, Question, Request, Span, Term, TrainingExample

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

# --- EDIT: pairs of chains that differ in a few signs ----------------------------------------------------------------


@dataclass(frozen=True)
class WithMistakes:
    """What another annotator writes, and every rationale once more with one wrong digit."""

    inner: Annotator = field(default_factory=FewShotCot)

    @property
    def kinds(self) -> frozenset[str]:
        return self.inner.kinds | {"mistake"}

    def requires(self) -> Requirements:
        return self.inner.requires()

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        return self.inner.most_requests(question, context)

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        rows = list(await self.inner.annotate(pick, context, ask))
        return [*rows, *(row for row in (_with_mistake(row, context) for row in rows) if row is not None)]


def _with_mistake(row: Annotation, context: Context) -> Annotation | None:
    """The rationale with another digit in one place; None where it has no digit."""
    text = row.rationale or ""
    places = [i for i, sign in enumerate(text) if sign.isdigit()]
    if not places:
        return None
    chance = context.data_rng("mistake", row.id)
    place = int(chance.choice(places))
    wrong = str((int(text[place]) + int(chance.integers(1, 10))) % 10)
    return replace(row, kind="mistake", rationale=text[:place] + wrong + text[place + 1 :], exchanges=())


@dataclass(frozen=True)
class KeyStepsFormat(RationaleThenAnswer):
    """Right and wrong chains of a question in one group; only the signs in which they differ carry loss.

    The tokens of the wrong chain get `wrong_weight`, below 0: unlearning is much easier than learning.
    """

    wrong_weight: float = -0.025
    kinds: ClassVar[Mapping[str, str]] = {"rationale": "right", "mistake": "wrong"}

    def requires(self) -> Requirements:
        return Requirements(annotation_kinds=frozenset(self.kinds))

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        mistakes = {(row.question.id, row.source, row.sample): row for row in annotations if row.kind == "mistake"}
        made = []
        for row in annotations:
            mistake = mistakes.get((row.question.id, row.source, row.sample))
            if row.kind == "rationale" and row.rationale and mistake is not None:
                right, wrong = key_spans(row.rationale, str(mistake.rationale), 1.0, self.wrong_weight)
                made += [self._example(row, right, task), self._example(mistake, wrong, task)]
        return made

    def _example(self, row: Annotation, spans: Sequence[Span], task: Task) -> TrainingExample:
        return TrainingExample(
            group=row.question.id,
            task=self.kinds[row.kind],
            prompt=self.request(row.question, "rationale_and_answer", task).prompt,
            target=(*spans, Span("", 0.0, "end")),  # EOS belongs to the last span, and is no key sign
            weight=row.weight,
            annotations=(row.id,),
        )

    def terms(self) -> Mapping[str, Term]:
        """One mean over the key signs of both chains."""
        return {"key": Term(frozenset({"right", "wrong"}))}


def key_spans(right: str, wrong: str, of_right: float, of_wrong: float) -> tuple[list[Span], list[Span]]:
    """Both texts as spans: those that differ with their weights, those in common with weight 0."""
    ours, theirs = [], []
    for what, a, b, c, d in SequenceMatcher(None, right, wrong, autojunk=False).get_opcodes():
        same = what == "equal"
        ours.append(Span(right[a:b], 0.0 if same else of_right, "common" if same else "key"))
        theirs.append(Span(wrong[c:d], 0.0 if same else of_wrong, "common" if same else "key"))
    return [span for span in ours if span.text], [span for span in theirs if span.text]


# --- policy gradient: advantages beside the student's own tokens -----------------------------------------------------


@dataclass(frozen=True)
class Rollouts:
    """Own text for every drawn prompt, trained on in `epochs` steps before new text is written.

    Each token's advantage is by how many nats the teacher finds it likelier than the student that wrote it did,
    at most `clip`.
    """

    epochs: int = 2
    clip: float = 5.0
    temperature: float = 1.0
    max_new_tokens: int | None = None

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        judged = self.judged(self.written(drawn, state), state)
        for epoch in range(self.epochs):
            order = state.rng("rollout", state.step, epoch).permutation(len(judged))
            yield [judged[place] for place in order]

    def written(self, drawn: Sequence[TrainingExample], state: StepState) -> list[TrainingExample]:
        """What the student writes at this step, one text a group."""
        prompts = list({example.group: example for example in drawn}.values())
        requests = [Request("own", one.prompt, one.group, self.max_new_tokens, self.temperature) for one in prompts]
        return [
            replace(one, task="own", target=(Span(reply.text, name="own"),), token_ids=reply.token_ids)
            for one, [reply] in zip(prompts, state.student.generate(requests, key=f"step{state.step}"), strict=True)
        ]

    def judged(self, own: Sequence[TrainingExample], state: StepState) -> list[TrainingExample]:
        """The texts with their advantages."""
        theirs = state.frozen["teacher"].target_log_probabilities(own)
        ours = state.student.target_log_probabilities(own)
        return [
            replace(one, extra={"advantage": self.advantages(of_teacher, of_student)})
            for one, of_teacher, of_student in zip(own, theirs, ours, strict=True)
        ]

    def advantages(self, of_teacher: Sequence[float], of_student: Sequence[float]) -> tuple[float, ...]:
        """Per token the clipped difference."""
        differences = (teacher - student for teacher, student in zip(of_teacher, of_student, strict=True))
        return tuple(min(self.clip, max(-self.clip, difference)) for difference in differences)

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Nothing depends on it."""

    def state_dict(self) -> dict[str, Json]:
        """Nothing to remember: a supply is trained on to its end before a checkpoint may be written."""
        return {}

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Nothing to take back."""


@dataclass(frozen=True)
class PolicyGradient:
    """`-mean(advantage * log p(token))` over the student's own tokens."""

    data_policy: DataPolicy = field(default_factory=Rollouts)

    @property
    def settings(self) -> Mapping[str, float]:
        return {}

    def requires(self) -> Requirements:
        return Requirements(distributions=frozenset({"teacher"}))

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """Those of the format stay, though nothing is ever supplied for them: the engine asks for a term per task."""
        return {**of_format, "policy": Term(frozenset({"own"}))}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        nats = cross_entropy(student.logits(student.hidden(batch)), batch.tokens, reduction="none")
        return {"policy": (batch.scale["policy"] * batch.extra("advantage") * nats).sum()}
