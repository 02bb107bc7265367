"""The overrides that make a cell, as texts: what they are about, what differs among them, how they are printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from benchmark.cell.composition import AXES
from benchmark.cell.nested_groups import root_group

Overrides = tuple[str, ...]
REFERENCE = "method=untrained"
UNTRAINED = "schedule=none"
"""An experiment may choose another schedule, which would win over that of the preset, and train the reference."""
NAMED = ("method", "dataset", "student", "seed")


def reference_of(overrides: Overrides) -> Overrides:
    """The untrained student of a cell: the same overrides without what only training and its data can feel."""
    unused = ("method", "budget", "optimization", "teacher", *AXES)
    kept = [o for o in overrides if root_group(o.partition("=")[0]) not in unused]
    precision = [o for o in overrides if o.lstrip("+").startswith("optimization.precision=")]
    return (*kept, *precision, REFERENCE, UNTRAINED)


def varied_settings(grid: Sequence[Overrides]) -> Callable[[Overrides], str]:
    """What of a cell's overrides differs within the grid and is not in its names already, as every axis is."""
    values: dict[str, set[str]] = {}
    for key, value in (key_and_value(override) for overrides in grid for override in overrides):
        values.setdefault(key, set()).add(value)
    named = {key for key in values if key in NAMED or root_group(key) in AXES}
    varied = {key for key, seen in values.items() if len(seen) > 1} - named
    return lambda overrides: " ".join(shown(o) for o in overrides if key_and_value(o)[0] in varied)


def key_and_value(override: str) -> tuple[str, str]:
    """The key without its `+` or `~`, and the value as it was written."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def shown(override: str) -> str:
    """An override as it may be printed: a setting that is refused because it may hold a key is not repeated."""
    key, value = key_and_value(override)
    setting = key.rpartition(".")[2]
    may_be_key = setting == "api_key_variable" and value not in os.environ
    may_hold_key = setting == "base_url" and not {"@", "?", "#"}.isdisjoint(value)
    return f"{key}=[not shown]" if may_be_key or may_hold_key else override
