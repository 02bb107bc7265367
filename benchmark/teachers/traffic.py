"""What went to the servers of live teachers, counted for one cell where several share a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.teachers.completions import Tokens
from benchmark.teachers.teacher import Teacher
from benchmark.types import Json


@dataclass
class Traffic:
    """What went to a teacher's server in this process.

    `requests` counts every attempt; `retries` and `failures` go by reason. Tokens are those that the server reported,
    or estimates for as many as `estimated_requests`. `uncounted_requests` broke off, so that it is not known whether
    they were charged: they are in nobody's ledger.
    """

    requests: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_requests: int = 0
    uncounted_requests: int = 0

    def book(self, tokens: Tokens) -> None:
        """Adds what an attempt was charged."""
        self.prompt_tokens += tokens.prompt
        self.completion_tokens += tokens.completion


def traffic_of(teachers: Mapping[str, Teacher]) -> dict[str, Json]:
    """The counts of this moment, by teacher; only live teachers have any."""
    found = {name: getattr(teacher, "traffic", None) for name, teacher in teachers.items()}
    return {name: _copied(traffic) for name, traffic in found.items() if isinstance(traffic, Traffic)}


def traffic_since(before: Mapping[str, Json], teachers: Mapping[str, Teacher]) -> dict[str, Json]:
    """What was added to the counts that `traffic_of` gave before."""
    return {
        name: {what: _difference(count, before[name][what]) for what, count in counts.items()}
        for name, counts in traffic_of(teachers).items()
    }


def _copied(traffic: Traffic) -> dict[str, Json]:
    return {what: dict(count) if isinstance(count, Counter) else count for what, count in vars(traffic).items()}


def _difference(now: Json, before: Json) -> Json:
    return dict(Counter(now) - Counter(before)) if isinstance(now, dict) else now - before
