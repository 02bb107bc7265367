"""MCC-KD: two dissimilar chains of thought to one answer, whose answers the student is to find equally likely.

`L = CE + alpha * (KL(p, q) + KL(q, p)) / 2`, where p and q are the student's distributions over the answer's tokens
after either chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from benchmark.axes.data_policy import FixedData
from benchmark.axes.format import RationaleThenAnswer
from benchmark.axes.loss import CrossEntropy
from benchmark.contract import DataPolicy, DataRng, Requirements, StepModel, StepState, Task
from benchmark.types import Annotation, Span, Term, TrainingExample

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch


@dataclass(frozen=True)
class ConsistentPairsFormat(RationaleThenAnswer):
    """Per question the two chains of one answer that share the fewest n-grams; a question without two gives one chain.

    The tasks `pair` and `single` tell them apart: a mean over pairs must not count a question that has none. Both
    chains of a pair state the same answer, so that its tokens stand opposite each other.
    """

    ngram: int = 3

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        by_question: dict[str, list[Annotation]] = {}
        for row in annotations:
            if row.rationale and row.answer is not None:
                by_question.setdefault(row.question.id, []).append(row)
        return [example for rows in by_question.values() for example in self._of_question(rows, task)]

    def _of_question(self, rows: Sequence[Annotation], task: Task) -> list[TrainingExample]:
        pair = self.most_dissimilar(rows)
        if pair is None:
            return [self._example(rows[0], "single", task)]
        return [self._example(row, "pair", task) for row in pair]

    def most_dissimilar(self, rows: Sequence[Annotation]) -> tuple[Annotation, Annotation] | None:
        """The pair of different chains with the same answer and the smallest overlap; None where there is none."""
        pairs = [(a, b) for a, b in combinations(rows, 2) if a.answer == b.answer and a.rationale != b.rationale]
        return min(pairs, key=lambda pair: jaccard(*(self._ngrams(row) for row in pair)), default=None)

    def _ngrams(self, row: Annotation) -> frozenset[str]:
        text = str(row.rationale)
        return frozenset(text[i : i + self.ngram] for i in range(max(1, len(text) - self.ngram + 1)))

    def _example(self, row: Annotation, name: str, task: Task) -> TrainingExample:
        return TrainingExample(
            group=row.question.id,
            task=name,
            prompt=self.request(row.question, "rationale_and_answer", task).prompt,
            target=(
                Span(f"{row.rationale}{self.answer_marker}", name="rationale"),
                Span(str(row.answer), name="answer"),
            ),
            weight=row.weight,
            annotations=(row.id,),
        )

    def terms(self) -> Mapping[str, Term]:
        return {"chains": Term(frozenset({"pair", "single"}))}


def jaccard(ours: frozenset[str], theirs: frozenset[str]) -> float:
    """The share of n-grams that both have."""
    return len(ours & theirs) / len(ours | theirs)


@dataclass(frozen=True)
class Consistency:
    """Cross-entropy, and per pair the mean bidirectional KL over the answer's tokens, EOS included."""

    alpha: float = 0.1
    data_policy: DataPolicy = field(default_factory=FixedData)

    @property
    def settings(self) -> Mapping[str, float]:
        return {}

    def requires(self) -> Requirements:
        return Requirements()

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        pairs = Term(frozenset({"pair"}), self.alpha, per="group", span="answer")
        return {**CrossEntropy().terms(of_format, settings), "consistency": pairs}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        import torch

        logits = student.logits(student.hidden(batch))
        nats = torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none")
        found = {name: (scale * nats).sum() for name, scale in batch.scale.items() if name != "consistency"}
        if "consistency" in batch.scale:
            scale = batch.scale["consistency"]
            values = [disagreement(logits, batch, group) for group in scale.nonzero()[:, 0].tolist()]
            if values:
                found["consistency"] = (scale[scale != 0] * torch.stack(values)).sum()
        return found


def disagreement(logits: torch.Tensor, batch: MicroBatch, group: int) -> torch.Tensor:
    """Of one pair. Raises ValueError where an answer was cut off with the end of its target."""
    from methods.divergences import symmetric_kl

    answer = batch.span("answer") & (batch.group_of == group)
    rows = sorted(set(batch.example_of[answer].tolist()))
    parts = [logits[answer & (batch.example_of == row)].log_softmax(-1) for row in rows]
    lengths = [len(part) for part in parts]
    if len(lengths) != 2 or lengths[0] != lengths[1]:
        raise ValueError(f"the answers of a pair have {lengths} tokens; both must be there and equally long")
    first, second = parts
    return symmetric_kl(first, second, 0.5).mean()
