"""Data policies: which examples an optimiser step trains on. They may replace targets by text of student or teacher.

Own text is what the student writes during training, at the step that trains on it or from a buffer. Its task is `OWN`:
a loss compares it with the teacher's distributions, and never learns it by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

from benchmark.contract import CROSS_ENTROPY, StepState, TextModel
from benchmark.records.journal import as_json, from_json
from benchmark.types import Json, Reply, Request, Span, TrainingExample

OWN = "own_text"
"""The task of examples whose target the student wrote."""
TEACHER_TEXT = "teacher_text"
"""The task of examples whose target the frozen teacher wrote, where a policy supplies both."""
_REMEMBERED = {"identity": False}
"""Marks what a policy remembers: its state, and no setting of the cell."""
Replay = Literal["decreasing", "constant", "increasing"]
"""How the share of fresh text among own text changes in training, see `AdaptiveReplay`."""


class Stateless:
    """What a data policy without a state has."""

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Ignores the metrics."""

    def state_dict(self) -> dict[str, Json]:
        """Empty: there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Does nothing: there is no state."""


@dataclass(frozen=True)
class FixedData(Stateless):
    """Every optimiser step trains on the examples that the stage drew; nothing is added or replaced."""

    writes_text: ClassVar[bool] = False
    """A stored signal of the teacher is allowed: all text is known before training."""

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """One step with the drawn examples."""
        return [drawn]


@dataclass(frozen=True)
class OwnText(Stateless):
    """A share of the steps trains on what the student writes just then for the drawn prompts (GKD).

    After Agarwal et al. (2024). One draw decides for a whole step, the same on all ranks. No gradient goes through the
    sampling.
    """

    share: float = 1.0
    """The share of steps on own text, in [0, 1]: GKD's lambda. 0 never writes anything, 1 is on-policy."""
    temperature: float = 1.0
    """The temperature of the student's text; the loss has one of its own."""
    max_new_tokens: int | None = None
    """The most tokens of a text; None takes the student's own cap."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share} of the steps is no share in [0, 1]")

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """One step, with own text or with the drawn examples."""
        if state.rng("own_text", state.step).random() >= self.share:
            return [drawn]
        return [own_text(drawn, state, self.temperature, self.max_new_tokens)]


@dataclass(frozen=True)
class TeacherText(Stateless):
    """Every step trains on what the frozen teacher writes just then for the drawn prompts (SeqKD, Kim and Rush, 2016).

    The examples keep their tasks, so that a cross-entropy learns the text too.
    """

    temperature: float = 1.0
    """The temperature of the teacher's text."""
    max_new_tokens: int | None = None
    """The most tokens of a text; None takes the teacher's own cap."""

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """One step with the teacher's text."""
        return [written_by(state.frozen["teacher"], drawn, state, self.temperature, self.max_new_tokens)]


@dataclass(frozen=True)
class ContrastivePairs(Stateless):
    """Every step trains on a text of the teacher and one of the student for each drawn prompt (DistiLLM-2).

    Both are written at the step; the released code writes them once, before training.
    """

    temperature: float = 0.8
    """The temperature of both texts."""
    max_new_tokens: int | None = None
    """The most tokens of a text; None takes each model's own cap."""

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """One step with both texts of every prompt."""
        settings = self.temperature, self.max_new_tokens
        theirs = written_by(state.frozen["teacher"], drawn, state, *settings)
        return [[*(replace(one, task=TEACHER_TEXT) for one in theirs), *own_text(drawn, state, *settings)]]


@dataclass
class AdaptiveReplay:
    """Fresh own text, own text from a buffer, or the drawn examples: more own text as validation gets worse (DistiLLM).

    After Ko et al. (2024). A share `threshold` of the steps uses own text. It grows by `growth` at every validation
    whose loss is at least `tolerance` above that at its last growth; the first validation only sets the mark. A step
    with own text writes new text while the buffer is not full, and else with a probability that changes over training;
    the other steps draw from the buffer.
    """

    capacity: int = 1000
    """The most texts in the buffer; the oldest leave first."""
    first_threshold: float = 0.0
    """The threshold at the start, in [0, 1]."""
    growth: float = 0.1
    """How much the threshold grows."""
    tolerance: float = 0.1
    """By how many nats per token the validation loss must have risen; 0.1 in the paper."""
    replay: Replay = "decreasing"
    """Fresh text gets rarer (`decreasing`, the paper's default), stays at one half, or gets more frequent."""
    temperature: float = 1.0
    """The temperature of the student's text."""
    max_new_tokens: int | None = None
    """The most tokens of a text; None takes the student's own cap."""
    reads_cross_entropy: ClassVar[bool] = True
    threshold: float = field(init=False, metadata=_REMEMBERED)
    mark: float | None = field(default=None, init=False, metadata=_REMEMBERED)
    buffer: list[TrainingExample] = field(default_factory=list, init=False, metadata=_REMEMBERED)

    def __post_init__(self) -> None:
        for name in ("first_threshold", "growth"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is no share in [0, 1]")
        if self.capacity < 1:
            raise ValueError(f"capacity={self.capacity} of the buffer must be at least 1")
        if self.replay not in get_args(Replay):
            raise ValueError(f"replay={self.replay!r} must be one of {', '.join(get_args(Replay))}")
        self.threshold = self.first_threshold

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """One step."""
        chance = state.rng("replay", state.step)
        draw = chance.random()
        if draw >= self.threshold:
            return [drawn]
        if draw >= self.threshold * self._fresh_share(state) and len(self.buffer) >= self.capacity:
            places = chance.choice(len(self.buffer), size=min(len(drawn), len(self.buffer)), replace=False)
            return [[self.buffer[place] for place in places]]
        own = own_text(drawn, state, self.temperature, self.max_new_tokens)
        self.buffer = [*self.buffer, *own][-self.capacity :]
        return [own]

    def _fresh_share(self, state: StepState) -> float:
        done = state.step / state.total_steps
        return {"decreasing": 1 - done, "constant": 0.5, "increasing": done}[self.replay]

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Raises the threshold if the cross-entropy of the validation questions has risen by the tolerance."""
        loss = metrics[CROSS_ENTROPY]
        if self.mark is None:
            self.mark = loss
        elif loss >= self.mark + self.tolerance:
            self.threshold, self.mark = min(1.0, self.threshold + self.growth), loss

    def state_dict(self) -> dict[str, Json]:
        """Threshold, mark and buffer."""
        return {"threshold": self.threshold, "mark": self.mark, "buffer": as_json(self.buffer)}

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Restores them."""
        self.threshold, self.mark = state["threshold"], state["mark"]
        self.buffer = from_json(list[TrainingExample], state["buffer"])


def own_text(
    drawn: Sequence[TrainingExample], state: StepState, temperature: float, max_new_tokens: int | None
) -> list[TrainingExample]:
    """The drawn examples with what the student writes for their prompts, its tokens kept as they are; task `OWN`."""
    written = written_by(state.student, drawn, state, temperature, max_new_tokens)
    return [replace(one, task=OWN) for one in written]


def written_by(
    model: TextModel,
    drawn: Sequence[TrainingExample],
    state: StepState,
    temperature: float,
    max_new_tokens: int | None,
) -> list[TrainingExample]:
    """The drawn examples with what the model writes for their prompts, its tokens kept as they are.

    The key makes the same prompt get another text at another step. A text that was cut at the cap has no EOS, so that
    nobody learns to stop there.
    """
    replies = model.generate(requests_for(drawn, temperature, max_new_tokens), key=f"step{state.step}")
    return with_replies(drawn, [reply for [reply] in replies])


def requests_for(drawn: Sequence[TrainingExample], temperature: float, max_new_tokens: int | None) -> list[Request]:
    """A request for new text per example: its own prompt."""
    return [Request(OWN, example.prompt, example.group, max_new_tokens, temperature) for example in drawn]


def with_replies(drawn: Sequence[TrainingExample], replies: Sequence[Reply]) -> list[TrainingExample]:
    """The examples with one reply each as their target, its tokens kept as they are."""
    return [
        replace(example, target=(Span(reply.text),), token_ids=reply.token_ids, extra={})
        for example, reply in zip(drawn, replies, strict=True)
    ]
