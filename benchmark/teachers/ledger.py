"""What a cell's annotations cost, booked per source, and the budget that they must fit into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.types import Usage


@dataclass(frozen=True)
class Budget:
    """The most that a cell may buy; at least one limit is set, and all that are set hold.

    `questions` are annotated ones, `tokens` those of prompts and replies together, `usd` by the teachers' price lists.
    """

    questions: int | None = None
    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        if not self.limits:
            raise ValueError("set questions, calls, tokens or usd; a budget without a limit compares nothing")
        for name, limit in self.limits.items():
            if not 0 < limit < math.inf:
                raise ValueError(f"{name}={limit} buys nothing; use method=untrained for the student as it is")

    @property
    def limits(self) -> dict[str, float]:
        """Those that are set, by the name that `Usage` has for the unit."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit depends on tokens, so that their worst case must be known before a question is asked."""
        return self.tokens is not None or self.usd is not None

    def exceeded(self, used: Usage, share: float = 1.0) -> list[str]:
        """The limits, by name, of which more than a share would be used."""
        return [name for name in self.limits if getattr(used, name) > self.part(name, share)]

    def part(self, name: str, share: float) -> float:
        """A share of one limit; whole where the unit is."""
        limit, share = self.limits[name], min(share, 1.0)  # shares are sums, which may end an ulp above 1
        return limit * share if name == "usd" else round(limit * share)


@dataclass
class Ledger:
    """Three books of one cell.

    `charged`: as if it had bought every distinct request itself; `spent`: what was really paid, so neither replies that
    the store held or that cost nothing to get, nor questions with no other reply; `computed`: what the student, the
    assistant and other local models wrote and read for the method, its gradients and its tests apart.
    """

    charged: dict[str, Usage] = field(default_factory=dict)
    spent: dict[str, Usage] = field(default_factory=dict)
    computed: dict[str, Usage] = field(default_factory=dict)

    def charge(self, source: str, usage: Usage) -> None:
        """Books an entry under `teacher` or `human`."""
        self.charged[source] = self.charged.get(source, Usage()) + usage

    def spend(self, source: str, usage: Usage) -> None:
        """Books what was really paid; it is charged as well."""
        self.spent[source] = self.spent.get(source, Usage()) + usage

    def compute(self, source: str, usage: Usage) -> None:
        """Books the work of a local model in one phase, such as `student/selection`; nothing where there was none."""
        if usage != Usage():
            self.computed[source] = self.computed.get(source, Usage()) + usage

    def total(self) -> Usage:
        """All that was charged so far, over all sources."""
        return sum(self.charged.values(), start=Usage())


def as_numbers(book: Mapping[str, Usage]) -> dict[str, dict[str, float]]:
    """A book as the record shows it."""
    return {source: vars(usage).copy() for source, usage in sorted(book.items())}
