"""A teacher on a server that speaks OpenAI's protocol, hosted or on your own machine."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from benchmark.errors import ConfigError
from benchmark.extras import absence
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.live import LiveTeacher
from benchmark.teachers.pacing import Clock
from benchmark.teachers.parameters import left_out, refuse_unusable
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price
from benchmark.teachers.traffic import Traffic
from benchmark.types import Thinking

NOT_SCIENCE = {"identity": False}
NOT_IN_STORE = {"store": False}
"""It changes results, but not what is asked: a reply that was bought before holds for every value."""
IN_STORE_IF_CHANGED = {"store": "if changed"}
"""It changes replies. Replies that were bought before the setting existed were bought without it."""


@dataclass(frozen=True)
class OpenAICompatibleTeacher:
    """A model on an OpenAI-compatible server, asked by chat or by raw completion. It takes any prompt."""

    stored: ClassVar[bool] = True
    name: str
    base_url: str | None = field(metadata=NOT_SCIENCE)
    """The address up to, and without, `/chat/completions`. It is not part of a cell's identity: a model is the same
    teacher on every server."""
    model: str | None
    """The model's name on the server."""
    revision: str = ""
    """Which weights the server holds. State it yourself: servers do not report it reliably."""
    api: Literal["chat", "completions"] = "chat"
    """`chat` sends the prompt as a user's message, `completions` as raw text."""
    api_key_variable: str | None = field(default=None, metadata=NOT_SCIENCE)
    """Name of the environment variable that holds the key; None if the server needs no key. The key is never saved."""
    max_tokens: int = 512
    """The most tokens of a reply, unless the request has its own cap."""
    context_window: int | None = field(default=None, metadata=NOT_SCIENCE)
    """Tokens of prompt and reply that fit. Set it for servers that cut long prompts silently, as Ollama does: a
    request that is too long by the estimate (`estimated_tokens`) is then refused before it is sent. None: no check."""
    top_p: float | None = None
    """Nucleus sampling: the probability mass to sample from, in (0, 1]; None leaves it to the server."""
    stop: tuple[str, ...] = ()
    """Texts that end a reply, in every request."""
    system_prompt: str | None = None
    """The system message of a chat; None sends none."""
    logprobs: bool = False
    """Whether to ask for log-probabilities, which `Reply.log_probability` sums."""
    n_per_request: bool = field(default=False, metadata=NOT_SCIENCE)
    """Whether the server can write several samples for one request; the prompt is then charged once."""
    token_cap_name: Literal["max_tokens", "max_completion_tokens"] = field(default="max_tokens", metadata=NOT_SCIENCE)
    """The server's name for the length cap."""
    parameter_names: Mapping[str, str | None] = field(default_factory=dict, hash=False, metadata=NOT_SCIENCE)
    """A parameter (one of `PARAMETERS`) -> the server's name for it; null leaves it out, for models that refuse it."""
    left_out: tuple[str, ...] = field(default=(), init=False, metadata=IN_STORE_IF_CHANGED)
    """The parameters that `parameter_names` leaves out: the server's own values hold."""
    thinking: Thinking = field(default="strip", metadata=NOT_IN_STORE)
    """What becomes of a trace before the reply: `strip` leaves it out of rationales, `keep` puts it, between tags,
    before them, and `only` makes it the rationale. It is paid for and kept in any case."""
    concurrency: int = field(default=32, metadata=NOT_SCIENCE)
    """The most requests in flight."""
    requests_per_minute: float | None = field(default=None, metadata=NOT_SCIENCE)
    """The most requests per minute; None: no limit."""
    tokens_per_minute: float | None = field(default=None, metadata=NOT_SCIENCE)
    """The most tokens per minute, prompts and replies together; None: no limit."""
    timeout_seconds: float = field(default=120.0, metadata=NOT_SCIENCE)
    """Seconds until an attempt without a complete reply is given up."""
    max_retries: int = field(default=6, metadata=NOT_SCIENCE)
    """How often a failed request is sent again."""
    longest_wait_seconds: float = field(default=120.0, metadata=NOT_SCIENCE)
    """If the server demands a longer wait, in seconds, the run ends; replies bought so far are kept."""
    price: Price = field(default=Price(), metadata=NOT_SCIENCE)
    """The provider's price, in US dollars per million tokens."""
    licence: str = field(default="unknown", metadata=NOT_SCIENCE)
    """The model's licence, for the model card of an exported student."""
    traffic: Traffic = field(default_factory=Traffic, init=False, repr=False, compare=False, metadata=NOT_SCIENCE)
    """Counts of requests, retries and tokens in this process."""

    def __post_init__(self) -> None:
        refuse_unusable(self.names)
        object.__setattr__(self, "left_out", left_out(self.names))
        _refuse_what_is_no_variable(self.api_key_variable)
        _refuse_what_is_no_address(self.base_url)
        for name in (
            *("max_tokens", "context_window", "concurrency"),
            *("requests_per_minute", "tokens_per_minute", "timeout_seconds"),
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}={value} must be above 0")
        for name in ("max_retries", "longest_wait_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must be above 0 and at most 1")
        if self.system_prompt is not None and self.api == "completions":
            raise ValueError("api=completions sends the prompt as it is; give system_prompt=null or api=chat")

    @property
    def names(self) -> Mapping[str, str | None]:
        """A parameter -> the name under which it is sent; None if it is left out."""
        return {"max_tokens": self.token_cap_name, **self.parameter_names}

    @property
    def roles(self) -> Collection[str] | None:
        """None: it takes any prompt."""
        return None

    @property
    def capabilities(self) -> Capabilities:
        """A chat begins every reply anew; a raw completion goes on from any text."""
        return Capabilities(
            continues_replies=self.api == "completions",
            samples_share_a_request=self.n_per_request,
            waiting_requests=self.concurrency // 4,
            caps_replies="max_tokens" not in self.left_out,
            thinking=self.thinking,
        )

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Returns the teacher, ready to answer; sends nothing.

        Raises ConfigError if the package `openai`, a setting or the key is missing.
        """
        return self.open_with(Clock())

    def open_with(self, clock: Clock) -> LiveTeacher:
        """The same as `open`, with a clock of the caller's."""
        if (why := absence("openai")) is not None:
            raise ConfigError(
                f"teacher={self.name} needs the package openai, which {why}: "
                'pip install "distillation-benchmark[openai]"'
            )
        for setting in ("base_url", "model"):
            if not getattr(self, setting):
                raise ConfigError(
                    f"teacher={self.name} asks a server: give teacher.base_url=URL and teacher.model=NAME "
                    f"({setting} is missing)"
                )
        if self.api_key_variable is not None and not os.environ.get(self.api_key_variable):
            raise ConfigError(
                f"teacher={self.name} reads its key from the environment variable {self.api_key_variable}, which is "
                "not set; export it, or give teacher.api_key_variable=null for a server that needs none"
            )
        _refuse_what_is_no_key(self.name, self.api_key_variable)
        return LiveTeacher(self, clock)

    def fingerprint(self, dataset: Dataset) -> str:
        """Empty: a server lists nothing that changes exactly when the weights change; set `revision` instead."""
        return ""


def _refuse_what_is_no_variable(name: str | None) -> None:
    """Raises ValueError without repeating the value: it may be the key. Some keys look like names in small letters."""
    if name is not None and name not in os.environ and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ValueError(
            "api_key_variable must be the name of an environment variable, such as OPENAI_API_KEY; a name in small "
            "letters must be set already. Never write the key itself into a config"
        )


def _refuse_what_is_no_key(name: str, variable: str | None) -> None:
    """Raises ConfigError, without repeating it, for a key with characters that no request can carry."""
    key = os.environ.get(variable or "", "")
    if key.isascii() and not re.search(r"[\s\x00-\x1f\x7f]", key):
        return
    where = "in it" if key == key.strip() else "around it"
    raise ConfigError(
        f"teacher={name}: the key in the environment variable {variable} has white space (often a line feed) or a "
        f"special character {where}, which no request can carry; set the variable again without it"
    )


def _refuse_what_is_no_address(url: str | None) -> None:
    """Raises ValueError if the address is no server's, or may hold a secret (then without repeating it)."""
    if url is None:
        return
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url must not hold a user name, a password or a query; give the key by api_key_variable=NAME"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url={url!r} must begin with http:// or https:// and name a server")
