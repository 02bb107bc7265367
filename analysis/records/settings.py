"""Finds the settings that differ between cells, and the shortest text that names the difference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

Settings = Mapping[str, str]
"""Dotted key -> value as JSON text, for example `{"budget.questions": "100"}`."""

MAX_SHOWN_CHARACTERS = 40
MAX_COMBINED_KEYS = 3


def settings_of(identity: Mapping[str, Any]) -> Settings:
    """The flattened identity of a cell without its seed. Cells may be averaged only if these settings are equal.

    The identity holds everything that can change the cell's numbers, code and data included, and nothing else. A path,
    a machine, or a teacher that was not asked does not separate two cells.
    """
    return dict(_flatten({key: value for key, value in identity.items() if key != "seed"}))


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and (value or not prefix):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, json.dumps(value, sort_keys=True, ensure_ascii=False)


def varying_keys(variants: Sequence[Settings]) -> list[str]:
    """The keys whose values are not the same in all variants, sorted."""
    keys = {key for settings in variants for key in settings}
    return sorted(key for key in keys if len({settings.get(key) for settings in variants}) > 1)


def distinguishing_keys(variants: Sequence[Settings]) -> tuple[str, ...]:
    """The fewest keys that give every variant other values; budget keys first, then short keys; () for one variant."""
    if len(variants) < 2:
        return ()
    varying = varying_keys(variants)
    for size in range(1, MAX_COMBINED_KEYS + 1):
        for keys in sorted(combinations(varying, size), key=_preference):
            if _tell_apart(keys, variants):
                return keys
    return tuple(varying)


def _preference(keys: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]]:
    num_outside_budget = sum(not key.startswith("budget.") for key in keys)
    return num_outside_budget, sum(map(len, keys)), keys


def _tell_apart(keys: tuple[str, ...], variants: Sequence[Settings]) -> bool:
    return len({tuple(settings.get(key) for key in keys) for settings in variants}) == len(variants)


def describe(settings: Settings, keys: Sequence[str]) -> str:
    """The named settings as text, for example `budget.questions=100, loss.beta=0.5`; `unset` where a key is absent."""
    return ", ".join(f"{key}={_shown(settings.get(key))}" for key in keys)


def _shown(value: str | None) -> str:
    """A value without quotes; a long one is cut and ends in a hash, so that different values never look the same."""
    if value is None:
        return "unset"
    text = value[1:-1] if value.startswith('"') else value
    if len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return f"{text[: MAX_SHOWN_CHARACTERS - 8]}…#{hashlib.sha256(value.encode()).hexdigest()[:6]}"
