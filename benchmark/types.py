"""The values that parts and engine exchange: frozen, plain dataclasses without behaviour of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = Any
"""A value that `json.dumps` accepts."""
Thinking = Literal["strip", "keep", "only"]
"""A reasoning model's trace in a rationale is left out, stands before the reply's own rationale, or in its place."""


@dataclass(frozen=True)
class Question:
    """An example as methods see it: without the gold fields."""

    id: str
    """Unique within the dataset."""
    text: str
    choices: tuple[str, ...] | None = None
    """The options of a multiple-choice question; None otherwise."""
    context: str | None = None
    """A text that the question refers to, such as a premise."""


@dataclass(frozen=True)
class Example:
    """One row of a dataset, with its gold fields `answer` and `rationale`."""

    id: str
    """Unique within the dataset."""
    question: str
    answer: str
    """The gold answer; one of `choices` if there are choices."""
    choices: tuple[str, ...] | None = None
    """The options of a multiple-choice question; None otherwise."""
    rationale: str | None = None
    """A human explanation of the gold answer; None if the dataset has none."""
    context: str | None = None
    """A text that the question refers to, such as a premise."""

    def without_gold(self) -> Question:
        """The example without its gold fields, as methods may see it."""
        return Question(self.id, self.question, self.choices, self.context)


@dataclass(frozen=True)
class Pick:
    """A question that a selection wants annotated. Score and evidence explain its rank; the order of picks decides."""

    question: Question
    score: float | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """The second prompt of contrastive decoding (SCOTT, Wang et al., 2023).

    Each next token maximises
    `log P(token | request's prompt, reply so far) - weight * log P(token | this prompt, reply so far)`.
    The reply ends if this token, or the likeliest after the request's prompt alone, is EOS (or, with `one_line`, a
    line feed).
    """

    prompt: str
    weight: float = 0.5
    one_line: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight={self.weight} of a contrast must be a number from 0 on")


@dataclass(frozen=True)
class Request:
    """One request to a language model (teacher, student or assistant).

    Only models in this process can answer a request with `contrast` or `continuations`.
    """

    role: str
    """The prompt's purpose, such as `few_shot_cot` or `answer`."""
    prompt: str
    question_id: str
    max_new_tokens: int | None = None
    """The most tokens of the reply; None takes the model's own cap."""
    temperature: float = 0.0
    """0 is greedy decoding; above 0 the model samples."""
    prefix: str = ""
    """The beginning of the reply: the model continues it, and its reply does not repeat it."""
    cap_is_final: bool = False
    """True if the cap belongs to the method's recipe, so that a reply cut there is as good as a complete one."""
    stop: tuple[str, ...] = ()
    """Texts that end the reply and are not part of it."""
    contrast: Contrast | None = None
    """A second prompt to decode against."""
    continuations: tuple[str, ...] = ()
    """Texts to score after the prompt instead of writing a reply: see `Reply.continuation_log_probabilities`."""

    def __post_init__(self) -> None:
        if self.contrast is not None and self.continuations:
            raise ValueError(
                f"a request in the role {self.role!r} asks for a contrast and for continuations; ask twice"
            )


@dataclass(frozen=True)
class Reply:
    """One answer to a `Request`."""

    text: str
    finish: str = "stop"
    """`stop`, `length` (cut at the token cap), `not_asked` (the question was not in the prompt), `content_filter`
    (the model or its provider refused: the text is empty, and a second try would be refused too) or `unreadable` (a
    server answered in a form without a text)."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    confidence: float | None = None
    """The model's own probability, in [0, 1], that its answer is right; None if it gives none."""
    token_ids: tuple[int, ...] | None = None
    """The tokens that a local model wrote, EOS included if it ended by itself; None for other models."""
    log_probability: float | None = None
    """Sum over the text's tokens of their natural log-probabilities at temperature 1; None if not reported."""
    continuation_log_probabilities: tuple[float, ...] | None = None
    """Per continuation of the request its natural log-probability, summed over its tokens."""
    wasted_prompt_tokens: int = 0
    """Prompt tokens that the server billed for failed attempts at this reply."""
    wasted_completion_tokens: int = 0
    """Completion tokens that the server billed for failed attempts at this reply."""
    tokens_are_estimated: bool = False
    """True if the token counts are estimated from the texts."""
    shares_prompt: bool = False
    """True if the prompt was already charged with an earlier sample of this request."""
    trace: str | None = None
    """What a reasoning model thought before `text`; equal to it if the model gave nothing else. None without a trace.
    The token counts include it."""
    thinking: Thinking = "strip"
    """What becomes of the trace in a rationale: the teacher's setting."""
    said: str = ""
    """What the server sent, shortened, if no text could be read from it; empty otherwise."""

    @property
    def is_empty(self) -> bool:
        """Whether it has neither a text, nor a trace, nor scores of continuations."""
        return not self.text.strip() and self.trace is None and self.continuation_log_probabilities is None


@dataclass(frozen=True)
class PlannedRequest:
    """A request that an annotator may send for a question, for the worst case of its cost."""

    who: str
    """The teacher's name."""
    request: Request
    """The request, rendered with empty texts in place of earlier replies."""
    samples: int = 1
    holds: tuple[Request, ...] = ()
    """Earlier requests of the same question whose replies the prompt will quote; one entry per reply."""


@dataclass(frozen=True)
class Exchange:
    """A request to `source` and its reply, kept with the annotation that it led to."""

    source: str
    request: Request
    reply: Reply


@dataclass(frozen=True)
class Annotation:
    """What was written about one question."""

    question: Question
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

    @property
    def id(self) -> str:
        """Unique within a cell."""
        return f"{self.question.id}/{self.kind}/{self.source}/{self.sample}"


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
    target: tuple[Span, ...]
    weight: float = 1.0
    """Multiplies the loss of all spans."""
    annotations: tuple[str, ...] = ()
    """Ids of the annotations that the example was made from."""
    token_ids: tuple[int, ...] | None = None
    """The student's own tokens, used as they are in place of the target's text, which must be a single span; EOS
    only if the student wrote it."""
    extra: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)
    """Name -> one number per target token, EOS included, from a data policy for its loss (such as advantages)."""

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
    per: str = "token"
    """The mean is over each `token`, `sequence` or `group`."""
    span: str | None = None
    """Only tokens of spans with this name count; None: all spans."""


@dataclass(frozen=True)
class Round:
    """One round: it buys annotations for its share of the budget, then trains."""

    index: int
    """Counts from 0."""
    share: float
    """The round's own share of the budget, in [0, 1]."""
    restart: bool = True
    """Whether training restarts from the initial student."""
    warmup: bool = False
    """True if selections should not rely on the student yet."""


@dataclass(frozen=True)
class Usage:
    """A ledger entry."""

    calls: int = 0
    """Replies asked for: one per sample."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    """US dollars by the teacher's price list."""
    questions: int = 0
    """Annotated questions."""

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
            self.questions + other.questions,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.calls - other.calls,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.usd - other.usd,
            self.questions - other.questions,
        )


@dataclass(frozen=True)
class RoundLog:
    """What is known of a finished round."""

    round: Round
    annotated: int
    """Questions that the whole cell has annotated so far."""
    charged: Mapping[str, Usage]
    """Source -> what the whole cell was charged so far, for `teacher` and `human`."""
    spent: Mapping[str, Usage]
    """Source -> what was really paid so far."""
    computed: Mapping[str, Usage]
    """Phase -> what local models read and wrote so far."""
    validation: Mapping[str, float]
    """Metric -> value on the validation split after the round."""
    notes: Mapping[str, float]
    """Sums of what the round's parts counted with `Context.note`."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training."""

    examples: Sequence[TrainingExample]
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


@dataclass(frozen=True)
class Prediction:
    """One evaluated example: what the student wrote, what was read from it, and whether it is right."""

    example_id: str
    prompt: str
    """The student's last prompt, before its chat template or line feed is added."""
    text: str
    """What the student wrote to that prompt."""
    rationale: str
    answer: str | None
    """The answer read strictly, which decides the accuracy; None if there is none."""
    gold: str
    correct: bool
    flexible_answer: str | None
    """The answer searched for in the whole text; None if none or several are found."""
    flexible_correct: bool
    truncated: bool
    """True if any generation of the answer was cut at the token cap."""
    prompt_tokens: int
    """Summed over all generations of the answer, as are `completion_tokens`."""
    completion_tokens: int
    grade: float | None = None
    """How good the answer is, in [0, 1], by the task's own metric; None if the task has none."""
    reasoning_right: bool | None = None
    """Whether the rationale's steps are right; None if the dataset cannot check them or there are none."""
    option_scores: tuple[float, ...] | None = None
    """Score per option, in the question's order; set only where the likeliest option is the answer."""

    @property
    def outcome(self) -> str | None:
        """What became of the answer: the first that holds of `right`, `truncated`, `unread` (no answer) and `wrong`.

        None in a task with its own metric, whose answers are neither right nor wrong.
        """
        if self.grade is not None:
            return None
        if self.correct:
            return "right"
        if self.truncated:
            return "truncated"
        return "unread" if self.answer is None else "wrong"


@dataclass(frozen=True)
class SampledAnswer:
    """One of several answers that were sampled for a test question."""

    example_id: str
    sample: int
    """Counts from 0 per question."""
    text: str
    answer: str | None
    """The answer read strictly; None if there is none."""
    correct: bool
    truncated: bool
    """True if any generation of the answer was cut at the token cap."""
    completion_tokens: int
