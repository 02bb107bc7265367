"""A model in this process that counts its own work: the student, and an assistant with or without weights."""

from __future__ import annotations

from collections import Counter
from typing import Protocol, Self

from benchmark.contract import TextModel
from benchmark.types import Request, Usage


class LocalModel(TextModel, Protocol):
    """A text model in this process, with its own counts."""

    usage: Usage
    """Calls, and tokens that it read and wrote."""
    counters: Counter[str]
    """By name, how many of its prompts and examples were cut."""
    batch_size: int
    """The most replies that it writes at once."""

    def apart(self) -> Self:
        """The same model with separate, empty counts."""
        ...

    def cut_counts(self, request: Request) -> Counter[str]:
        """What one reply to the request adds to `counters`; computes nothing."""
        ...

    def book(self, usage: Usage, counts: Counter[str]) -> None:
        """Adds work that a copy made by `apart` did."""
        ...
