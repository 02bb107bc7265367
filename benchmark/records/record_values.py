"""The types of a record's values, and the object that all its parts are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WrapSerializer

from benchmark.records.schema_errors import unexpected


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise unexpected("number")
    return value


def _fraction(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # also refuses NaN
        raise unexpected("fraction")
    return value


def _as_list(rows: Any, serialise: Callable[[Any], Any]) -> list[Any]:
    return list(serialise(rows))


Item = TypeVar("Item")
Number = Annotated[float, PlainValidator(_number)]
"""A finite number; a whole one stays whole, so that it is written as it was read."""
Fraction = Annotated[float, PlainValidator(_fraction)]
"""A number in [0, 1]."""
Rows = Annotated[tuple[Item, ...], Field(strict=False), WrapSerializer(_as_list)]
"""A list in JSON; in Python it cannot be changed."""


class RecordPart(BaseModel):
    """An object of a record or manifest: typed where it is known, kept where it is not."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def as_json(self) -> dict[str, Any]:
        """What `json.dumps` takes: the fields that were set, in the order of the schema, then the unknown ones."""
        return self.model_dump(exclude_unset=True)

    def set_fields(self) -> dict[str, Any]:
        """The fields that were set, by name, with their values as they are."""
        return {name: getattr(self, name) for name in self.model_fields_set}
