"""Requests that exclude each other: of each choice, a question takes one option (`PlannedRequest.branch`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from benchmark.types import PlannedRequest, Usage


def dearest(planned: Iterable[tuple[PlannedRequest, Usage]]) -> Usage:
    """The most that the requests cost together: those without a branch, and of each choice the dearest option.

    The dearest option is looked for in each unit apart: one may have the most calls, and another the most tokens.
    """
    common = Usage()
    options: dict[str, dict[str, Usage]] = defaultdict(lambda: defaultdict(Usage))
    for request, cost in planned:
        if request.branch:
            choice, _, option = request.branch.rpartition("/")
            options[choice][option] += cost
        else:
            common += cost
    return sum((_largest(costs.values()) for costs in options.values()), start=common)


def _largest(costs: Iterable[Usage]) -> Usage:
    costs = list(costs)
    return Usage(**{unit: max(getattr(cost, unit) for cost in costs) for unit in vars(Usage())})
