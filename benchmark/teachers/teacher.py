"""The contract of a teacher: its name, prompt roles and price, and how it answers prompts that are rendered already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from benchmark.errors import ConfigError
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.types import Example, PlannedRequest, Reply, Request, Thinking, Usage

if TYPE_CHECKING:
    from benchmark.student.source import PretrainedStudent
    from benchmark.student.student import Student

MILLION = 1_000_000
BYTES_PER_TOKEN = 4
"""UTF-8 bytes per token: a rule of thumb for teachers that report no token counts. Such counts are marked as estimated.
"""
TOKENS_PER_HELD_TOKEN = 2
"""The most prompt tokens for each token of an earlier reply that a prompt quotes: it may be split differently there."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as the provider's price list states them."""

    usd_per_million_prompt_tokens: float = 0.0
    usd_per_million_completion_tokens: float = 0.0

    @property
    def is_free(self) -> bool:
        """Whether prompt and completion tokens both cost 0."""
        return not (self.usd_per_million_prompt_tokens or self.usd_per_million_completion_tokens)

    def of(self, reply: Reply) -> Usage:
        """The cost of one call without wasted tokens, and with the whole prompt even if samples shared it."""
        return self.priced(Usage(1, reply.prompt_tokens, reply.completion_tokens))

    def with_waste(self, reply: Reply) -> Usage:
        """What was really paid for one call: wasted tokens count; a prompt that an earlier sample paid for does not."""
        prompt = reply.wasted_prompt_tokens + (0 if reply.shares_prompt else reply.prompt_tokens)
        return self.priced(Usage(1, prompt, reply.completion_tokens + reply.wasted_completion_tokens))

    def priced(self, usage: Usage) -> Usage:
        """The same calls and tokens, with `usd` set by this price list."""
        usd = (
            usage.prompt_tokens * self.usd_per_million_prompt_tokens
            + usage.completion_tokens * self.usd_per_million_completion_tokens
        ) / MILLION
        return replace(usage, usd=usd)


@dataclass(frozen=True)
class Capabilities:
    """What a teacher can do, as it declares it. The defaults describe a teacher that only answers in text."""

    shows_probabilities: bool = False
    """It writes against a contrast, and says how likely given continuations are."""
    shows_distributions: bool = False
    """It is a `DistributionTeacher`: a loss can compare the student with it, token by token."""
    continues_replies: bool = True
    """It goes on from a reply that is begun (`Request.prefix`)."""
    samples_share_a_request: bool = False
    """It writes several samples to one request, whose prompt is charged once."""
    waiting_requests: int = 0
    """The number of requests to prepare beyond its `concurrency`, so that no place is empty between two waves."""
    caps_replies: bool = True
    """A reply ends at the cap of tokens that the request gives, so that the most it can cost is known."""
    thinking: Thinking = "strip"
    """What becomes of the trace that it writes before a reply; a setting of the teacher, not a part of its requests."""


class Unanswered(Exception):
    """The `__cause__` of an error about a request that was charged without a reply; it holds the tokens charged."""

    def __init__(self, prompt_tokens: int, completion_tokens: int) -> None:
        super().__init__(f"{prompt_tokens} prompt and {completion_tokens} completion tokens were charged")
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


class OpenTeacher(Protocol):
    """A teacher that is ready to answer about one dataset."""

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """Returns `samples` replies to a rendered prompt, numbered from `first` on.

        The teacher sees only the prompt and the question's id.
        """
        ...

    def covers(self, question_id: str) -> bool:
        """Whether the teacher can answer about this question; always True for a live model."""
        ...

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """The most calls and tokens that a request can be charged.

        `held_tokens` is the most tokens of earlier replies that will be inserted into its prompt.
        """
        ...


@runtime_checkable
class Teacher(Protocol):
    """The settings of a teacher: every `_target_` in `conf/teacher/*.yaml` is a class of this form."""

    name: str
    price: Price

    @property
    def roles(self) -> Collection[str] | None:
        """The prompt roles that it can answer; None if it takes any prompt."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests it can answer at the same time."""
        ...

    @property
    def stored(self) -> bool:
        """Whether replies go into the teacher store, to be requested only once, as they cost money or much compute."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do beyond answering in text."""
        ...

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Returns the teacher, ready to answer about `dataset`. Raises ConfigError if it cannot answer about it."""
        ...

    def fingerprint(self, dataset: Dataset) -> str:
        """A hash of what its replies depend on besides its settings, such as weights; empty if there is nothing."""
        ...


@runtime_checkable
class DistributionTeacher(Teacher, Protocol):
    """A teacher whose next-token distributions a loss can read, on the student's own tokens."""

    @property
    def source(self) -> PretrainedStudent:
        """Where its weights and its tokenizer come from."""
        ...

    def model(self) -> Student:
        """The model itself, read once in a process."""
        ...


def refuse_without_probabilities(name: str, request: Request) -> None:
    """Raises ConfigError if a request has a contrast or continuations; every teacher that only writes text calls it."""
    if request.contrast is None and not request.continuations:
        return
    wanted = "a reply against another prompt" if request.contrast else "how likely given continuations are"
    raise ConfigError(
        f"the {request.role} prompt asks for {wanted}, which needs the model's probabilities, but teacher={name} "
        "answers "
        "in text only; choose teacher=transformers teacher.path=FOLDER"
    )


def with_estimated_tokens(request: Request, reply: Reply) -> Reply:
    """The reply with token counts estimated from prompt and text, for a teacher that reports none."""
    prompt, completion = estimated_tokens(request.prompt), estimated_tokens(reply.text)
    return replace(reply, prompt_tokens=prompt, completion_tokens=completion, tokens_are_estimated=True)


def replies_written(request: Request) -> int:
    """How many replies one sample is charged for: 1, or 2 with a contrast, or 0 if continuations are only scored."""
    if request.continuations:
        return 0
    return 1 if request.contrast is None else 2


def estimated_prompt_tokens(request: Request) -> int:
    """Estimated number of tokens that the teacher reads for a request: prompt, prefix, contrast and continuations."""
    of_contrast = [request.contrast.prompt, request.prefix] if request.contrast else []
    texts = [request.prompt, request.prefix, *of_contrast, *request.continuations]
    return sum(map(estimated_tokens, texts))


def estimated_tokens(text: str) -> int:
    """Token count by a rule of thumb: one token per four bytes of UTF-8, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def every_example(splits: Splits) -> tuple[Example, ...]:
    """All rows of pool, validation and test, for a teacher that must know every question in advance.

    Unseals the test split: pass splits that were loaded for the teacher, never the splits of the cell.
    """
    splits.test.unseal()
    return (*splits.pool, *splits.validation, *splits.test.open())
