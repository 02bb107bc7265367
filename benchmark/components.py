"""A component and what it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any


def components(value: Any) -> Iterator[Any]:
    """The component itself and every dataclass nested in its fields, outermost first."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from components(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from components(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from components(item)
