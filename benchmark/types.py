"""What passes through the corridor: frozen, plain values without behaviour of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Any
"""A value that `json.dumps` takes: evidence and settings are kept in this form."""


@dataclass(frozen=True)
class Question:
    """What a method sees of an example: everything but the gold fields."""

    id: str
    text: str
    choices: tuple[str, ...] | None = None
    context: str | None = None


@dataclass(frozen=True)
class Example:
    """One row of a dataset, gold fields included. `answer` is one of `choices` where there are choices."""

    id: str
    question: str
    answer: str
    choices: tuple[str, ...] | None = None
    rationale: str | None = None
    context: str | None = None

    def without_gold(self) -> Question:
        """The example as methods may see it."""
        return Question(self.id, self.question, self.choices, self.context)


@dataclass(frozen=True)
class Pick:
    """A question that a selection wants annotated, with the evidence behind its rank (higher score = earlier)."""

    question: Question
    score: float | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """What a reply is written against (contrastive decoding; SCOTT, Wang et al., 2023).

    Every token is chosen by `log P(token | prompt, reply so far) - weight * log P(token | other prompt, reply so far)`.
    The reply ends where its next token, chosen so or by the first prompt alone, is EOS or, for `one_line`, a line feed.
    """

    prompt: str
    weight: float = 0.5
    one_line: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight={self.weight} of a contrast must be a number from 0 on")


@dataclass(frozen=True)
class Request:
    """One request to a language model, teacher or student.

    `role` names the prompt's purpose (`few_shot_cot`, `answer`, ...). `prefix` is a reply that is already begun: the
    model goes on from there, and its reply leaves it out. The length cap comes from whoever answers unless it is given;
    `cap_is_final` says that it is part of the recipe, so that a reply cut there is as good as one that ended by itself.
    `stop` are texts that end the reply and are no part of it: where a base model would run on into the next exemplar.

    Two things only a model in this process can do: write against a `contrast`, and say how likely it is to go on with
    each of the `continuations`, in place of writing (`Reply.continuation_log_probabilities`).
    """

    role: str
    prompt: str
    question_id: str
    max_new_tokens: int | None = None
    temperature: float = 0.0
    prefix: str = ""
    cap_is_final: bool = False
    stop: tuple[str, ...] = ()
    contrast: Contrast | None = None
    continuations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.contrast is not None and self.continuations:
            raise ValueError(
                f"a request in the role {self.role!r} asks for a contrast and for continuations; ask twice"
            )

    def kept(self, text: str) -> str:
        """What counts of a text that was written for it: all before the first text that ends the reply."""
        ends = ("\n",) if self.contrast and self.contrast.one_line else self.stop
        return text[: min((text.index(end) for end in ends if end in text), default=None)]


@dataclass(frozen=True)
class Reply:
    """One answer to an `Request`.

    `finish` is `stop`, `length` (cut at the token cap), `not_asked` (the question was not in the prompt) or
    `content_filter` (the model or its provider refused: the text is empty, and asking again would not help).
    `confidence` is the model's own probability, in [0, 1], that its answer is right, where it gives one. `token_ids`
    are those that a local model wrote, with the one that ended it where it ended by itself. `log_probability` is the
    sum of the natural logarithms of its tokens' probabilities at temperature 1, where a teacher tells them; what ended
    the reply does not count. `continuation_log_probabilities` are those of the continuations that the request gave.
    Wasted tokens were charged beside its own, for attempts that came back unusable. `tokens_are_estimated` where nobody
    counted them, so that they follow a rule of thumb. `shares_prompt` where the same request brought an earlier sample,
    with which its prompt was paid for.
    """

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    confidence: float | None = None
    token_ids: tuple[int, ...] | None = None
    log_probability: float | None = None
    continuation_log_probabilities: tuple[float, ...] | None = None
    wasted_prompt_tokens: int = 0
    wasted_completion_tokens: int = 0
    tokens_are_estimated: bool = False
    shares_prompt: bool = False


@dataclass(frozen=True)
class PlannedRequest:
    """A request that a question may cost: rendered with nothing where earlier replies will stand.

    `holds` are the earlier requests of the same question whose replies its prompt will hold, one for each reply.
    """

    who: str
    request: Request
    samples: int = 1
    holds: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Exchange:
    """A prompt and what came back, kept with the annotation that it led to."""

    source: str
    request: Request
    reply: Reply


@dataclass(frozen=True)
class Annotation:
    """What was written about one question. Annotators leave `evidence`; only a weighting sets `weight` and `reason`.

    `kind` is `rationale`, `gold`, `counterfactual`, ...; `source` is `human`, `student` or the teacher's name.
    `answer` is None where the reply could not be parsed.
    """

    question: Question
    kind: str
    source: str
    rationale: str | None
    answer: str | None
    sample: int = 0
    evidence: Mapping[str, Json] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()
    weight: float = 1.0
    reason: str = ""

    @property
    def id(self) -> str:
        """Unique within a cell."""
        return f"{self.question.id}/{self.kind}/{self.source}/{self.sample}"


@dataclass(frozen=True)
class Span:
    """A piece of a target. Its weight multiplies the loss of its tokens; 0 makes it context, below 0 is allowed.

    EOS belongs to the last span, even to an empty one: `Span("", 0.0)` at the end makes it context.
    """

    text: str
    weight: float = 1.0
    name: str = "target"


@dataclass(frozen=True)
class TrainingExample:
    """A prompt and the target that the student learns to write after it.

    Examples of one `group` always share a micro-batch; a batch counts groups. `weight` multiplies the loss of
    all spans. `annotations` are the ids behind the example.

    `token_ids` replace the target's text where a student's own tokens must be kept as they are; they take name and
    weight of the only span, and end with EOS only where the student did. `extra` holds numbers per target token that a
    data policy computed for its loss (advantages, log-probabilities), EOS included.
    """

    group: str
    task: str
    prompt: str
    target: tuple[Span, ...]
    weight: float = 1.0
    annotations: tuple[str, ...] = ()
    token_ids: tuple[int, ...] | None = None
    extra: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)

    @property
    def target_text(self) -> str:
        """The whole target, spans joined."""
        return "".join(span.text for span in self.target)


@dataclass(frozen=True)
class Term:
    """One weighted mean of the loss: over the tokens, sequences or groups of its `tasks` in a whole optimiser step.

    `span` narrows it to the tokens of spans with that name.
    """

    tasks: frozenset[str]
    coefficient: float = 1.0
    per: str = "token"
    span: str | None = None


@dataclass(frozen=True)
class Round:
    """One turn of the corridor: its share of the budget, and whether training restarts from the initial student.

    `warmup` tells a selection that the student's own judgement is not to be trusted yet.
    """

    index: int
    share: float
    restart: bool = True
    warmup: bool = False


@dataclass(frozen=True)
class Usage:
    """A ledger entry. `usd` follows the teacher's price table; `questions` counts annotated questions."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    questions: int = 0

    @property
    def tokens(self) -> int:
        """Those of prompts and replies together."""
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
    """What is known of a finished round.

    The books are those of the whole cell so far: `charged` and `spent` for teachers and people, `computed` for local
    models. `notes` are sums of what the round's parts counted with `Context.note`.
    """

    round: Round
    annotated: int
    charged: Mapping[str, Usage]
    spent: Mapping[str, Usage]
    computed: Mapping[str, Usage]
    validation: Mapping[str, float]
    notes: Mapping[str, float]


@dataclass(frozen=True)
class Stage:
    """A stretch of training: its examples, its share of the optimiser steps, and what it sets for the loss.

    `memory` is what the curriculum must know when it is asked for the next stage.
    """

    examples: Sequence[TrainingExample]
    share: float = 1.0
    settings: Mapping[str, float] = field(default_factory=dict)
    fresh_optimiser: bool = False
    shuffle: bool = True
    memory: Json = None


@dataclass(frozen=True)
class Prediction:
    """One evaluated example: what the student wrote, what was read out of it, and whether that is right.

    `answer` is read strictly and decides the accuracy; `flexible_answer` is searched in the whole text. `truncated`
    says that the text was cut at the token cap; tokens are summed over all generations of the answer.
    `grade` is set where the task has a metric of its own, and says how good the answer is, in [0, 1].
    `reasoning_right` is set where the dataset can check the steps of a rationale and the student wrote any. `prompt` is
    what the student was asked in the last turn, before its chat template or line feed. `option_scores` are set where
    the answer is the likeliest option: what each option was compared by, in the question's order.
    """

    example_id: str
    prompt: str
    text: str
    rationale: str
    answer: str | None
    gold: str
    correct: bool
    flexible_answer: str | None
    flexible_correct: bool
    truncated: bool
    prompt_tokens: int
    completion_tokens: int
    grade: float | None = None
    reasoning_right: bool | None = None
    option_scores: tuple[float, ...] | None = None


@dataclass(frozen=True)
class SampledAnswer:
    """One of several answers drawn to a test question, read strictly; `sample` counts from 0 per question."""

    example_id: str
    sample: int
    text: str
    answer: str | None
    correct: bool
    truncated: bool
    completion_tokens: int
