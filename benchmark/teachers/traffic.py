"""Counts what was sent to the servers of live teachers, per cell even if several cells share a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.teachers.completions import Tokens
from benchmark.teachers.teacher import Teacher
from benchmark.types import Json


@dataclass
class Traffic:
    """What this process sent to a teacher's server."""

    requests: int = 0
    """All attempts, retries included."""
    retries: Counter[str] = field(default_factory=Counter)
    """Reason -> retries."""
    failures: Counter[str] = field(default_factory=Counter)
    """Reason -> errors that ended a request."""
    prompt_tokens: int = 0
    """Prompt tokens as the server reported them, or estimated."""
    completion_tokens: int = 0
    """Completion tokens as the server reported them, or estimated."""
    estimated_requests: int = 0
    """Requests whose tokens were estimated, as the server reported none."""
    uncounted_requests: int = 0
    """Requests that were cut off; it is unknown whether the server charged for them, and no ledger holds them."""

    def book(self, tokens: Tokens) -> None:
        """Adds the tokens that an attempt was charged."""
        self.prompt_tokens += tokens.prompt
        self.completion_tokens += tokens.completion


def traffic_of(teachers: Mapping[str, Teacher]) -> dict[str, Json]:
    """Teacher -> its counts now, as plain data; only live teachers have counts."""
    found = {name: getattr(teacher, "traffic", None) for name, teacher in teachers.items()}
    return {name: _copied(traffic) for name, traffic in found.items() if isinstance(traffic, Traffic)}


def traffic_since(before: Mapping[str, Json], teachers: Mapping[str, Teacher]) -> dict[str, Json]:
    """Teacher -> growth of its counts since `before`, which `traffic_of` returned."""
    return {
        name: {what: _difference(count, before[name][what]) for what, count in counts.items()}
        for name, counts in traffic_of(teachers).items()
    }


def _copied(traffic: Traffic) -> dict[str, Json]:
    return {what: dict(count) if isinstance(count, Counter) else count for what, count in vars(traffic).items()}


def _difference(now: Json, before: Json) -> Json:
    return dict(Counter(now) - Counter(before)) if isinstance(now, dict) else now - before
