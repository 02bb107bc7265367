"""The budget of a cell, and the ledger that books what its annotations cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmark.types import Usage


@dataclass(frozen=True)
class Budget:
    """The most that a cell may buy. At least one limit must be set; a cell keeps all limits that are set."""

    questions: int | None = None
    """Annotated questions."""
    calls: int | None = None
    """Replies of teachers: one per sample."""
    tokens: int | None = None
    """Tokens of prompts and replies together."""
    usd: float | None = None
    """US dollars by the teachers' price lists."""

    def __post_init__(self) -> None:
        if not self.limits:
            raise ValueError("set questions, calls, tokens or usd; methods without a limit cannot be compared")
        for name, limit in self.limits.items():
            if not 0 < limit < math.inf:
                raise ValueError(f"{name}={limit} buys nothing; use method=untrained for the student as it is")

    @property
    def limits(self) -> dict[str, float]:
        """Unit -> limit, for limits that are set; units have the names of `Usage`."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit is in tokens or dollars, so that a question's worst case in tokens must be computed first."""
        return self.tokens is not None or self.usd is not None

    def exceeded(self, used: Usage, share: float = 1.0) -> list[str]:
        """Names of the limits of which `used` is more than `share`, in [0, 1]."""
        return [name for name in self.limits if getattr(used, name) > self.part(name, share)]

    def part(self, name: str, share: float) -> float:
        """`share` of one limit; rounded to a whole number except for `usd`."""
        limit, share = self.limits[name], min(share, 1.0)  # shares are sums, which may end an ulp above 1
        return limit * share if name == "usd" else round(limit * share)


@dataclass
class Ledger:
    """What one cell cost, counted in three ways."""

    charged: dict[str, Usage] = field(default_factory=dict)
    """Source -> cost as if the cell had bought every distinct request itself. Budgets limit this."""
    spent: dict[str, Usage] = field(default_factory=dict)
    """Source -> what was really paid, in all attempts. It leaves out replies that the store held, replies of teachers
    that the store does not keep (`Teacher.stored`), and questions that had only such replies."""
    computed: dict[str, Usage] = field(default_factory=dict)
    """`MODEL/PHASE` -> what local models read and wrote for the method; optimiser steps and tests are left out."""

    def charge(self, source: str, usage: Usage) -> None:
        """Adds to `charged`; `source` is `teacher` or `human`."""
        self.charged[source] = self.charged.get(source, Usage()) + usage

    def spend(self, source: str, usage: Usage) -> None:
        """Adds what was really paid to `spent`; `charged` does not change."""
        self.spent[source] = self.spent.get(source, Usage()) + usage

    def compute(self, source: str, usage: Usage) -> None:
        """Adds to `computed`, under a phase such as `student/selection`; adds no line for an empty usage."""
        if usage != Usage():
            self.computed[source] = self.computed.get(source, Usage()) + usage

    def total(self) -> Usage:
        """The sum of `charged` over all sources."""
        return sum(self.charged.values(), start=Usage())
