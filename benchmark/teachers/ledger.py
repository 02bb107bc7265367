"""What a cell's annotations cost, booked per source, and the budget that they must fit into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.types import Usage


@dataclass(frozen=True)
class Budget:
    """The most that a cell may buy: annotated questions, teacher calls, or both. At least one is set."""

    questions: int | None = None
    calls: int | None = None

    def __post_init__(self) -> None:
        if self.questions is None and self.calls is None:
            raise ValueError("set questions or calls; a budget without a limit compares nothing")
        for name in ("questions", "calls"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name}={limit} buys nothing; use method=untrained for the student as it is")

    def admits(self, questions: int, calls: int, share: float = 1.0) -> bool:
        """Whether that many annotated questions and teacher calls, in all, stay within a share of the budget."""
        return _within(questions, self.questions, share) and _within(calls, self.calls, share)


def _within(used: int, limit: int | None, share: float) -> bool:
    return limit is None or used <= round(limit * share)


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

    def calls(self) -> int:
        """Teacher calls charged so far, over all sources."""
        return sum(usage.calls for usage in self.charged.values())


def as_numbers(book: Mapping[str, Usage]) -> dict[str, dict[str, float]]:
    """A book as the record shows it."""
    return {source: vars(usage).copy() for source, usage in sorted(book.items())}
