"""A component (a dataclass that the config names) and the components in its fields."""

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


def canonical(value: Any) -> Any:
    """A component as plain JSON values: all settings, defaults included, without fields marked `identity: False`.

    A field marked `left_out_at: VALUE` is left out while it has this value, so that a later measure that is off changes
    no id.

    Raises TypeError for a value that has no canonical form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field for field in dataclasses.fields(value) if _counts(field, value)]
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"_target_": name} | {field.name: canonical(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        # As pairs: their order may count (a panel's first teacher), and a JSON object would lose it.
        return [[str(key), canonical(item)] for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(canonical(item) for item in value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a cell's identity; mark its field identity=False")


def _counts(field: dataclasses.Field[Any], component: Any) -> bool:
    """Whether a field of a component belongs to its canonical form."""
    if "left_out_at" in field.metadata and getattr(component, field.name) == field.metadata["left_out_at"]:
        return False
    return bool(field.metadata.get("identity", True))
