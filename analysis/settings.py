"""Which settings make two cells different, and the shortest words that tell them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

Settings = Mapping[str, str]
"""Dotted key -> value as JSON text, for example `{"budget.questions": "100"}`."""

EXECUTION_GROUPS = frozenset({"trainer", "logger"})
EXECUTION_SCALARS = frozenset({"results_dir", "data_dir", "mode", "references"})
NOT_SCIENTIFIC = EXECUTION_GROUPS | EXECUTION_SCALARS | {"seed"}
EXECUTION_KEYS = frozenset({"dataset.data_dir"})  # repeats data_dir
USED_UNTRAINED = frozenset({"dataset", "student", "format", "evaluation"})

MAX_SHOWN_CHARACTERS = 40
MAX_COMBINED_KEYS = 3


def scientific_settings(
    config: Mapping[str, Any],
    budget: Mapping[str, Any],
    data_seed: int,
    *,
    asks_teacher: bool = True,
    trains: bool = True,
) -> Settings:
    """The flattened resolved config without seed and execution, joined by the record's budget and data seed.

    Two cells may be averaged over seeds only where these are equal. A part that the cell could not use is left out,
    as it is of the cell's id: the teacher of a method that asked none, and all training of the untrained student.
    Otherwise its seeds would fall apart by whichever sweep happened to run them first.
    """
    whole = {**config, "budget": {**_as_mapping(config.get("budget")), **budget}, "data_seed": data_seed}
    unused = NOT_SCIENTIFIC if asks_teacher else NOT_SCIENTIFIC | {"teacher"}
    kept = {key: value for key, value in whole.items() if key not in unused and (trains or key in USED_UNTRAINED)}
    return {key: value for key, value in _flatten(kept) if key not in EXECUTION_KEYS}


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


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
    """The fewest keys whose values tell all variants apart, the budget first, then the shortest; () for one variant."""
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
    """The named settings in words, for example `budget.questions=100, loss.beta=0.5`; `unset` where a key is absent."""
    return ", ".join(f"{key}={_shown(settings.get(key))}" for key in keys)


def _shown(value: str | None) -> str:
    """A value without quotes; a long one is cut and ends in a hash, so that different values never look the same."""
    if value is None:
        return "unset"
    text = value[1:-1] if value.startswith('"') else value
    if len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return f"{text[: MAX_SHOWN_CHARACTERS - 8]}…#{hashlib.sha256(value.encode()).hexdigest()[:6]}"
