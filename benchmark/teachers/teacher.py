"""What every teacher is: a name, the roles it can play, a price, and a door that takes rendered prompts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from benchmark.errors import ConfigError
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.types import Example, PlannedRequest, Reply, Request, Usage

if TYPE_CHECKING:
    from benchmark.student.source import PretrainedStudent
    from benchmark.student.student import Student

MILLION = 1_000_000
BYTES_PER_TOKEN = 4
"""Rule of thumb for teachers that report no token counts; what is booked by it is marked as estimated."""
TOKENS_PER_HELD_TOKEN = 2
"""Worst case of a reply's token where it stands in a prompt: another tokenizer, or the same one, may cut it anew."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as the provider's price list states them."""

    usd_per_million_prompt_tokens: float = 0.0
    usd_per_million_completion_tokens: float = 0.0

    @property
    def is_free(self) -> bool:
        """Whether tokens cost nothing."""
        return not (self.usd_per_million_prompt_tokens or self.usd_per_million_completion_tokens)

    def of(self, reply: Reply) -> Usage:
        """The ledger entry of one call, as if no attempt at it had been wasted."""
        return self.priced(Usage(1, reply.prompt_tokens, reply.completion_tokens))

    def with_waste(self, reply: Reply) -> Usage:
        """What one call really cost."""
        prompt = reply.wasted_prompt_tokens + (0 if reply.shares_prompt else reply.prompt_tokens)
        return self.priced(Usage(1, prompt, reply.completion_tokens + reply.wasted_completion_tokens))

    def priced(self, usage: Usage) -> Usage:
        """The same calls and tokens with what they cost."""
        usd = (
            usage.prompt_tokens * self.usd_per_million_prompt_tokens
            + usage.completion_tokens * self.usd_per_million_completion_tokens
        ) / MILLION
        return replace(usage, usd=usd)


@dataclass(frozen=True)
class Capabilities:
    """What a teacher can do, as it declares it. The defaults are those of a teacher that only answers in text."""

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


class Unanswered(Exception):
    """The cause of an error about a request that was charged for and brought nothing."""

    def __init__(self, prompt_tokens: int, completion_tokens: int) -> None:
        super().__init__(f"{prompt_tokens} prompt and {completion_tokens} completion tokens were charged")
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


class OpenTeacher(Protocol):
    """A teacher that is ready to answer about one dataset."""

    async def reply(self, ask: Request, samples: int, first: int = 0) -> list[Reply]:
        """`samples` replies to a rendered prompt, from number `first` on.

        It sees the prompt and the question's id and nothing else.
        """
        ...

    def covers(self, question_id: str) -> bool:
        """Whether it can answer about this question at all; a live model always can."""
        ...

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """The most calls and tokens that a request may be charged, where replies of `held_tokens` will stand in it."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """What `conf/teacher/*.yaml` names."""

    name: str
    price: Price

    @property
    def roles(self) -> Collection[str] | None:
        """The prompt roles that it can play; None for a model that takes any prompt."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests it can be at work on at once."""
        ...

    @property
    def stored(self) -> bool:
        """Whether its replies cost something to get (money, or a large model's time), so that each is got only once."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do beyond answering in text."""
        ...

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Gets ready. Raises ConfigError where it has nothing to say about the dataset."""
        ...

    def fingerprint(self, dataset: Dataset) -> str:
        """A hash of what its replies are read from, beyond its settings."""
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


def refuse_without_probabilities(name: str, ask: Request) -> None:
    """Raises ConfigError for what only a model in this process can answer; teachers of text alone call it first."""
    if ask.contrast is None and not ask.continuations:
        return
    wanted = "a reply against another prompt" if ask.contrast else "how likely given continuations are"
    raise ConfigError(
        f"the {ask.role} prompt asks for {wanted}, which takes the model's probabilities, and teacher={name} answers "
        "in text only; choose teacher=transformers teacher.path=FOLDER"
    )


def with_estimated_tokens(ask: Request, reply: Reply) -> Reply:
    """The reply to a prompt, of a teacher that reports no tokens."""
    prompt, completion = estimated_tokens(ask.prompt), estimated_tokens(reply.text)
    return replace(reply, prompt_tokens=prompt, completion_tokens=completion, tokens_are_estimated=True)


def replies_written(ask: Request) -> int:
    """How many replies a sample is charged for: both of a contrast, and none where given continuations are scored."""
    if ask.continuations:
        return 0
    return 1 if ask.contrast is None else 2


def estimated_prompt_tokens(ask: Request) -> int:
    """Tokens that a request has read, by the rule of thumb."""
    texts = [ask.prompt, ask.prefix, *([ask.contrast.prompt, ask.prefix] if ask.contrast else []), *ask.continuations]
    return sum(map(estimated_tokens, texts))


def estimated_tokens(text: str) -> int:
    """Token count by a rule of thumb: one token per four bytes of UTF-8, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def every_example(splits: Splits) -> tuple[Example, ...]:
    """All rows, test included, for a teacher that must know what it may be asked about.

    Breaks the test split's seal: pass splits that were loaded for the teacher, never the cell's own.
    """
    splits.test.unseal()
    return (*splits.pool, *splits.validation, *splits.test.open())
