"""A teacher behind an address: any server that speaks OpenAI's protocol, hosted or on your own machine."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from benchmark.errors import ConfigError
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.live import LiveTeacher
from benchmark.teachers.pacing import Clock
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price
from benchmark.teachers.traffic import Traffic

NOT_SCIENCE = {"identity": False}


@dataclass(frozen=True)
class OpenAICompatibleTeacher:
    """A model that a server offers, by chat or by raw completion. It takes any prompt.

    `base_url` ends where `/chat/completions` begins, and is no part of a cell's identity: the same model is the same
    teacher wherever it is served. A server does not say reliably which weights it holds, so `revision` is yours to
    state. `api_key_variable` names the environment variable that holds the key; the key itself is kept nowhere. What
    is `null` is left to the server (`top_p`), or without limit (per minute), or absent (`system_prompt`).

    `context_window`, in tokens, is for servers that cut a prompt without a word where it does not fit, as Ollama does:
    where it is given, such a request, judged by the rule of thumb and its length cap, is refused before it is sent.

    `n_per_request` says that the server can write several samples to one request, whose prompt is then charged once.
    `token_cap_name` is what the server calls the length cap. A wait that a server demands beyond `longest_wait_seconds`
    ends the run instead; what was bought stays bought.
    """

    stored: ClassVar[bool] = True
    name: str
    base_url: str | None = field(metadata=NOT_SCIENCE)
    model: str | None
    revision: str = ""
    api: Literal["chat", "completions"] = "chat"
    api_key_variable: str | None = field(default=None, metadata=NOT_SCIENCE)
    max_tokens: int = 512
    context_window: int | None = field(default=None, metadata=NOT_SCIENCE)
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    system_prompt: str | None = None
    logprobs: bool = False
    n_per_request: bool = field(default=False, metadata=NOT_SCIENCE)
    token_cap_name: Literal["max_tokens", "max_completion_tokens"] = field(default="max_tokens", metadata=NOT_SCIENCE)
    concurrency: int = field(default=32, metadata=NOT_SCIENCE)
    requests_per_minute: float | None = field(default=None, metadata=NOT_SCIENCE)
    tokens_per_minute: float | None = field(default=None, metadata=NOT_SCIENCE)
    timeout_seconds: float = field(default=120.0, metadata=NOT_SCIENCE)
    max_retries: int = field(default=6, metadata=NOT_SCIENCE)
    longest_wait_seconds: float = field(default=120.0, metadata=NOT_SCIENCE)
    price: Price = field(default=Price(), metadata=NOT_SCIENCE)
    licence: str = field(default="unknown", metadata=NOT_SCIENCE)
    traffic: Traffic = field(default_factory=Traffic, init=False, repr=False, compare=False, metadata=NOT_SCIENCE)

    def __post_init__(self) -> None:
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
        )

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Gets ready, without asking the server. Raises ConfigError for a package, setting or key that is missing."""
        return self.open_with(Clock())

    def open_with(self, clock: Clock) -> LiveTeacher:
        """The same with another clock."""
        if importlib.util.find_spec("openai") is None:
            raise ConfigError(
                f'teacher={self.name} needs the package openai: pip install "distillation-benchmark[openai]"'
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
        return LiveTeacher(self, clock)

    def fingerprint(self, dataset: Dataset) -> str:
        """Empty: nothing that servers list about a model stays the same as long as its weights do; see `revision`."""
        return ""


def _refuse_what_is_no_variable(name: str | None) -> None:
    """Raises ValueError, without repeating the value: it may be the key. Keys can look like names in small letters."""
    if name is not None and name not in os.environ and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ValueError(
            "api_key_variable must be the name of an environment variable, such as OPENAI_API_KEY, or of one in small "
            "letters that is set; keys do not belong into a config"
        )


def _refuse_what_is_no_address(url: str | None) -> None:
    """Raises ValueError for what cannot be a server's address, or may hold a secret and so is not repeated."""
    if url is None:
        return
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url must not hold a user name, a password or a query; give the key by api_key_variable=NAME"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url={url!r} must begin with http:// or https:// and name a server")
