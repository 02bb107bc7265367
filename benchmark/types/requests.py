"""What is asked of a language model, what it replies, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

Thinking = Literal["strip", "keep", "only"]
"""A reasoning model's trace in a rationale is left out, stands before the reply's own rationale, or in its place."""
Finish = Literal["stop", "length", "not_asked", "content_filter", "unreadable", "failed", "other"]
"""Why a reply ended: see `Reply.finish`."""


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
    """The whole text that the model reads; its chat template is applied later, in one place."""
    question_id: str
    """The id of the question that the request is about."""
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
    """What the model wrote, without the request's prefix."""
    finish: Finish = "stop"
    """`stop`, `length` (cut at the token cap), `not_asked` (the question was not in the prompt), `content_filter`
    (the model or its provider refused: the text is empty, and a second try would be refused too), `unreadable` (a
    server answered in a form without a text), `failed` (no reply came) or `other` (`said` holds the server's word)."""
    prompt_tokens: int = 0
    """Tokens that the model read."""
    completion_tokens: int = 0
    """Tokens that the model wrote, trace included."""
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
    """What the server sent, shortened, if no text could be read from it, or its word for why the reply ended if it is
    an unknown one; empty otherwise."""
    seconds: float | None = field(default=None, compare=False)
    """Wall-clock seconds from the start of the reply's batch to its last token; None where no local model wrote it."""

    def __post_init__(self) -> None:
        if self.finish not in get_args(Finish):
            raise ValueError(f"finish={self.finish!r} of a reply must be one of {', '.join(get_args(Finish))}")

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
    """How many replies it may ask for."""
    holds: tuple[Request, ...] = ()
    """Earlier requests of the same question whose replies the prompt will quote; one entry per reply."""
    branch: str = ""
    """Empty: it may be sent in any case. Otherwise `OPTION`, or `CHOICE/OPTION`: a question takes one option of each
    choice, so that requests of different options are never sent for the same question. The worst case holds the dearest
    option of each choice."""


@dataclass(frozen=True)
class Exchange:
    """A request to `source` and its reply, kept with the annotation that it led to."""

    source: str
    request: Request
    reply: Reply
    """Without its time, which is another one whenever the annotation is made."""

    def __post_init__(self) -> None:
        if self.reply.seconds is not None:
            object.__setattr__(self, "reply", replace(self.reply, seconds=None))


@dataclass(frozen=True)
class Usage:
    """A ledger entry."""

    calls: int = 0
    """Replies asked for: one per sample."""
    prompt_tokens: int = 0
    """Tokens that the model read."""
    completion_tokens: int = 0
    """Tokens that the model wrote."""
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
