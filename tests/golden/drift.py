"""What moved between a recorded golden run and today's, and what to do about it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmark

FOLDER = Path(__file__).parent
COMMAND = "python -m tests.golden.record"
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "curves": (1e-3, 0.0),
    "learning_rate": (1e-6, 0.0),
    "log_probability": (0.0, 1e-3),
    "validation_accuracy": (0.0, 0.051),
    "usd": (1e-6, 0.0),
}
"""(relative, absolute) by the innermost of a number's names: what another machine may change. All else must be equal.

Other instruction sets, thread counts and micro-batches moved losses by 2e-6 and log-probabilities by 3e-6 at most; a
learning rate that is one percent higher moves the losses of every preset by more than is allowed. One of the twenty
validation answers may differ: a text can turn where two tokens are nearly as likely.
"""


def golden_file(method: str) -> Path:
    """Where a preset's golden run is recorded."""
    return FOLDER / f"{method}.json"


def recorded(method: str) -> dict[str, Any]:
    """A preset's recorded golden run. Raises AssertionError, saying what to do, for one that is absent or outdated."""
    path = golden_file(method)
    assert path.is_file(), f"method={method} has no golden run yet; record it: {COMMAND} {method}"
    golden: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert golden["engine_version"] == benchmark.ENGINE_VERSION, (
        f"the golden run of {method} was recorded with ENGINE_VERSION = {golden['engine_version']}, and "
        f"benchmark/__init__.py says {benchmark.ENGINE_VERSION}; record all of them anew: {COMMAND}"
    )
    return golden


def drift(golden: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """One line for every number that moved beyond its tolerance, and for everything that is new or gone."""
    before, now = dict(_leaves(golden)), dict(_leaves(measured))
    lines = []
    for path in {**before, **now}:
        if path not in now:
            lines.append(f"{', '.join(path)}: was {before[path]!r}, is gone")
        elif path not in before:
            lines.append(f"{', '.join(path)}: is new, {now[path]!r}")
        elif difference := _difference(path, before[path], now[path]):
            lines.append(f"{', '.join(path)}: was {before[path]!r}, is {now[path]!r}{difference}")
    return lines


def complaint(method: str, lines: Sequence[str]) -> str:
    """What moved, and what to do."""
    shown = [*lines[:20], *([f"... and {len(lines) - 20} more"] if len(lines) > 20 else [])]
    return "\n".join(
        [
            f"the golden run of {method} moved in {len(lines)} numbers:",
            *(f"  {line}" for line in shown),
            "If that is not meant, it is a bug: every table would move with it.",
            "If the engine is meant to give other numbers, raise ENGINE_VERSION in benchmark/__init__.py, so that old",
            f"records are not mixed with new ones, and record all golden runs anew: {COMMAND}",
            "If only this method's own module, options or prompts changed, its cells have new ids already; record its",
            f"golden run anew: {COMMAND} {method}",
        ]
    )


Place = tuple[str, ...]


def _leaves(node: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, list) and any(isinstance(item, Mapping) for item in node):
        for i, value in enumerate(node):
            yield from _leaves(value, (*path, str(i)))
    else:
        yield path, node


def _difference(path: Place, before: Any, now: Any) -> str:
    """How far apart two values are, in words; empty where they agree."""
    allowed = next((TOLERANCES[name] for name in reversed(path) if name in TOLERANCES), None)
    numbers = all(isinstance(value, float | int) and not isinstance(value, bool) for value in (before, now))
    if allowed is None or not numbers:
        return "" if before == now else " (must be equal)"
    relative, absolute = allowed
    if math.isclose(before, now, rel_tol=relative, abs_tol=absolute):
        return ""
    if relative:
        return f" (relative difference {abs(now - before) / max(abs(before), abs(now)):.1e}, allowed {relative:.0e})"
    return f" (difference {abs(now - before):.1e}, allowed {absolute:.0e})"
