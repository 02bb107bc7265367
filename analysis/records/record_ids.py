"""Short names for records."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

MIN_CHARACTERS = 8


def short_ids(cell_ids: Iterable[str]) -> dict[str, str]:
    """Each id -> its shortest prefix, of at least 8 characters, that no other id starts with."""
    ordered = sorted(set(cell_ids))
    neighbours = zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False)
    return {cell_id: cell_id[: _needed(before, cell_id, after)] for before, cell_id, after in neighbours}


def _needed(before: str, cell_id: str, after: str) -> int:
    return max(MIN_CHARACTERS, 1 + max(_num_shared(cell_id, other) for other in (before, after)))


def _num_shared(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
