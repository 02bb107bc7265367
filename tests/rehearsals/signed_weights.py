"""Weights with a sign, written into the target's spans by a format; `methods/minillm.py` computes some in training.

EDIT raises the likelihood of the signs in which a right chain of thought differs from a nearly equal wrong one, and
lowers it, a little, in the wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, ClassVar

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import (
    Annotator,
    AskModels,
    Context,
    DataRng,
    PlanContext,
    Requirements,
    Task,
)
from benchmark.types import Annotation, Pick, PlannedRequest, Question, Span, Term, TrainingExample

if TYPE_CHECKING:
    pass

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
