"""Says in one line what is wrong with a record or manifest: the field, its value, and what it should be."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

Place = tuple[int | str, ...]
"""Keys and indices that lead from the whole content to one value."""

SHOWN_CHARACTERS = 60
EXPECTED = {
    "int_type": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "tuple_type": "a list",
    "number": "a finite number",
    "fraction": "a fraction in [0, 1]",
}
"""Kind of error -> what should have stood there."""


def unexpected(kind: str) -> PydanticCustomError:
    """The error of a validator whose value is none of the kind; `kind` is a key of `EXPECTED`."""
    return PydanticCustomError(kind, "expected {expected}", {"expected": EXPECTED[kind]})


def lacking(name: str) -> PydanticCustomError:
    """The error of an object in which a name below it is missing."""
    return PydanticCustomError("lacking", "lacks {name}", {"name": name})


def refused(reason: str) -> PydanticCustomError:
    """The error of a value for any other reason; `reason` is read right behind the path of the value."""
    return PydanticCustomError("refused", "{reason}", {"reason": reason})


def explained(error: ValidationError, model: type[BaseModel], content: Mapping[str, Any]) -> str:
    """The first thing that is wrong with the content of a model, such as `lacks test[0].n`."""
    first = error.errors(include_url=False)[0]
    or_null = " or null" if _may_be_null(first["loc"], model, content) else ""
    return _complaint(first, or_null)


def in_one_line(error: ValidationError) -> str:
    """The first thing that is wrong where a model is made, such as `RoundRecord: notes.kept is 'nan', expected ...`."""
    return f"{error.title}: {_complaint(error.errors(include_url=False)[0])}"


def _complaint(error: ErrorDetails, or_null: str = "") -> str:
    path, context = dotted(error["loc"]), error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"lacks {path}"
        case "lacking":
            return f"lacks {path}.{context['name']}"
        case "refused":
            return f"{path}{context['reason']}"
        case _:
            shown = str(error["input"])[:SHOWN_CHARACTERS]
            return f"{path} is {shown!r}, expected {EXPECTED.get(error['type'], error['msg'])}{or_null}"


def dotted(place: Sequence[int | str]) -> str:
    """A place in the words of a message, such as `rounds[0].charged.teacher`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).removeprefix(".")


def _may_be_null(place: Place, model: type[BaseModel], content: Mapping[str, Any]) -> bool:
    """Whether the model takes null at this place: it is asked with the content changed there and nowhere else."""
    try:
        model.model_validate(_with_null(content, place))
    except ValidationError as error:
        return all(other["loc"] != place for other in error.errors(include_url=False))
    return True


def _with_null(value: Any, place: Place) -> Any:
    if not place or (isinstance(value, dict) and place[0] not in value):
        return None
    changed = copy.copy(value)
    changed[place[0]] = _with_null(value[place[0]], place[1:])
    return changed
