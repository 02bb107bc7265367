"""What a student learns from: annotations, examples with their targets, terms of the loss, stages."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from benchmark.types.questions import Json, Question
from benchmark.types.requests import Exchange

Per = Literal["token", "sequence", "group"]
"""What a term of the loss is a mean over."""


@dataclass(frozen=True)
class Annotation:
    """What was written about one question."""

    question: Question
    """The question, without its gold fields."""
    kind: str
    """`rationale`, `gold`, `counterfactual`, ..."""
    source: str
    """`human`, `student` or the teacher's name."""
    rationale: str | None
    """The reasoning; None if there is none."""
    answer: str | None
    """The answer; None if the reply could not be parsed."""
    sample: int = 0
    """Number among annotations of the same question, kind and source, from 0 on."""
    evidence: Mapping[str, Json] = field(default_factory=dict)
    """Values that an annotator leaves for weighting and formats."""
    exchanges: tuple[Exchange, ...] = ()
    """The requests and replies behind the annotation."""
    weight: float = 1.0
    """Trust in [0, 1]; only a weighting sets it. 0 drops the annotation."""
    reason: str = ""
    """Why the weighting chose this weight."""
    weight_evidence: Mapping[str, float] = field(default_factory=dict)
    """The numbers behind the weight, by name."""
    round: int = 0
    """The index of the round that bought it; only the engine sets it."""

    @property
    def id(self) -> str:
        """Unique within a cell."""
        return f"{self.question.id}/{self.kind}/{self.source}/{self.sample}"


@dataclass(frozen=True)
class Weight:
    """How far a weighting trusts an annotation, and why. The record keeps all of it."""

    value: float
    """In [0, 1]; 0 drops the annotation."""
    reason: str = ""
    """Why, in words."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """The numbers behind the weight, by name, such as a confidence and the threshold that it was held against."""


@dataclass(frozen=True)
class Span:
    """A piece of a target. Its weight multiplies the loss of its tokens; 0 masks the loss, and below 0 is allowed.

    EOS belongs to the last span, even to an empty one: `Span("", 0.0)` at the end masks EOS.
    """

    text: str
    weight: float = 1.0
    name: str = "target"


@dataclass(frozen=True)
class TrainingExample:
    """A prompt and the target that the student learns to write after it."""

    group: str
    """Examples of one group always share a micro-batch; the batch size counts groups."""
    task: str
    """The task by which `Term.tasks` selects the example."""
    prompt: str
    """The text before the target: what the format's `request` makes."""
    target: tuple[Span, ...]
    """What the student learns to write, in pieces; EOS follows the last one."""
    weight: float = 1.0
    """Multiplies the loss of all spans."""
    annotations: tuple[str, ...] = ()
    """Ids of the annotations that the example was made from."""
    token_ids: tuple[int, ...] | None = None
    """The student's own tokens, used as they are in place of the target's text, which must be a single span; EOS
    only if the student wrote it."""
    extra: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)
    """Name -> one number per target token, EOS included, from a data policy for its loss (such as advantages)."""

    @classmethod
    def from_annotation(
        cls, annotation: Annotation, task: str, prompt: str, target: tuple[Span, ...]
    ) -> TrainingExample:
        """An example made from one annotation: in its question's group, with its weight, and its id as the origin."""
        return cls(annotation.question.id, task, prompt, target, annotation.weight, (annotation.id,))

    @property
    def target_text(self) -> str:
        """The whole target, spans joined."""
        return "".join(span.text for span in self.target)


@dataclass(frozen=True)
class Term:
    """One summand of the loss: a weighted mean over a whole optimiser step."""

    tasks: frozenset[str]
    """The mean covers the examples with these tasks."""
    coefficient: float = 1.0
    """Multiplies the mean."""
    per: Per = "token"
    """The mean is over each `token`, `sequence` or `group`."""
    span: str | None = None
    """Only tokens of spans with this name count; None: all spans."""

    def __post_init__(self) -> None:
        if self.per not in get_args(Per):
            raise ValueError(f"a term is a mean per {', '.join(get_args(Per)[:-1])} or group, not per {self.per!r}")

    def covers(self, task: str) -> bool:
        """Whether the term is about examples of this task; `*` in the names of its tasks matches any text."""
        return any(fnmatch.fnmatchcase(task, pattern) for pattern in self.tasks)


@dataclass(frozen=True)
class Stage:
    """A stretch of training."""

    examples: Sequence[TrainingExample]
    """The examples that the stage draws its batches from."""
    share: float = 1.0
    """Share of the round's optimiser steps, in [0, 1]."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Settings of the loss in this stage, over its defaults."""
    fresh_optimiser: bool = False
    """Whether the optimiser's state starts anew."""
    shuffle: bool = True
    """Whether the order of the examples is shuffled."""
    memory: Json = None
    """What the curriculum must know to choose the next stage."""
