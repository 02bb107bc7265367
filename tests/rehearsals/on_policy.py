"""On-policy distillation with a replay buffer: the student is corrected on its own text, more often as it gets worse.

Fixed data, fresh text of the student, and its earlier text are mixed step by step; the share of own text grows with
every validation that is no better than the last one that made it grow (the scheduler of DistiLLM, by accuracy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmark.contract import DataPolicy, Requirements, StepModel, StepState
from benchmark.records.journal import as_json, from_json
from benchmark.types import Json, Request, Span, Term, TrainingExample

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

OWN = "own"
"""The task of examples that the student wrote."""
_REMEMBERED = {"identity": False}
"""Marks what the policy remembers: its state, and no setting of the cell."""


@dataclass
class AdaptiveReplay:
    """Draws anew for every step: fresh own text, own text from the buffer, or the fixed data as drawn.

    `share` of the steps use own text. Towards the end of training ever more of that comes from the buffer, which keeps
    the last `capacity` texts.
    """

    capacity: int = 1000
    first_share: float = 0.0
    growth: float = 0.1
    tolerance: float = 0.0
    temperature: float = 1.0
    max_new_tokens: int | None = None
    share: float = field(init=False, metadata=_REMEMBERED)
    reference: float | None = field(default=None, init=False, metadata=_REMEMBERED)
    buffer: list[TrainingExample] = field(default_factory=list, init=False, metadata=_REMEMBERED)

    def __post_init__(self) -> None:
        if self.capacity < 1 or not 0 <= self.first_share <= 1:
            raise ValueError(f"capacity={self.capacity} must be at least 1, first_share={self.first_share} in [0, 1]")
        self.share = self.first_share

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        chance = state.rng("replay", state.step)
        draw = chance.random()
        fresh = self.share * (1 - state.step / state.total_steps)
        if draw < fresh or (draw < self.share and len(self.buffer) < self.capacity):
            own = written(drawn, state, self.temperature, self.max_new_tokens)
            self.buffer = [*self.buffer, *own][-self.capacity :]
            return [own]
        if draw < self.share:
            places = chance.choice(len(self.buffer), size=min(len(drawn), len(self.buffer)), replace=False)
            return [[self.buffer[place] for place in places]]
        return [drawn]

    def validated(self, metrics: Mapping[str, float]) -> None:
        error = 1 - metrics["accuracy"]
        if self.reference is None:
            self.reference = error
        elif error >= self.reference + self.tolerance:
            self.share, self.reference = min(1.0, self.share + self.growth), error

    def state_dict(self) -> dict[str, Json]:
        return {"share": self.share, "reference": self.reference, "buffer": as_json(self.buffer)}

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        self.share, self.reference = state["share"], state["reference"]
        self.buffer = from_json(list[TrainingExample], state["buffer"])


def written(
    drawn: Sequence[TrainingExample], state: StepState, temperature: float, max_new_tokens: int | None
) -> list[TrainingExample]:
    """The drawn examples with what the student writes for their prompts, its tokens kept as they are.

    The key tells apart the same prompt at two moments of training.
    """
    requests = [Request(OWN, example.prompt, example.group, max_new_tokens, temperature) for example in drawn]
    replies = state.student.generate(requests, key=f"step{state.step}")
    return [
        replace(example, task=OWN, target=(Span(reply.text, name=OWN),), token_ids=reply.token_ids, extra={})
        for example, [reply] in zip(drawn, replies, strict=True)
    ]


@dataclass(frozen=True)
class OnPolicy:
    """Forward KL to the live teacher on all text; cross-entropy on the fixed data alone.

    A student that learns its own text by heart collapses, so own text has no cross-entropy.
    """

    kd_weight: float = 0.5
    data_policy: DataPolicy = field(default_factory=AdaptiveReplay)

    @property
    def settings(self) -> Mapping[str, float]:
        return {"kd_weight": self.kd_weight}

    def requires(self) -> Requirements:
        return Requirements(distributions=frozenset({"teacher"}))

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        share = settings["kd_weight"]
        hard = {name: replace(term, coefficient=(1 - share) * term.coefficient) for name, term in of_format.items()}
        return {**hard, "kd": Term(frozenset({"*"}), share)}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        from tests.rehearsals.divergences import forward_kl

        teacher = state.frozen["teacher"]
        logits = student.logits(student.hidden(batch))
        soft = forward_kl(logits, teacher.logits(teacher.hidden(batch)))
        hard = cross_entropy(logits, batch.tokens, reduction="none")
        return {name: (scale * (soft if name == "kd" else hard)).sum() for name, scale in batch.scale.items()}
