"""Reads files of JSON lines; whatever is no plain JSON object is refused with file and line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from benchmark.errors import DataError
from benchmark.tasks.shortened import shortened

_ONE_OBJECT_A_LINE = "write one JSON object a line"


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (`file, line N`, object) for every line that is not blank. Numbers with a point or exponent are `Decimal`.

    Raises DataError that names file and line if the file is missing or empty, if a line is not UTF-8 or not a JSON
    object, if an object has a key twice, and for numbers that JSON does not have or that are too large.
    """
    _refuse_missing(path)
    empty = True
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            text = _decoded(where, line).strip()
            if not text:
                continue
            if empty and text.startswith("["):
                raise DataError(
                    f"{where}: the file begins with a JSON list and not with a JSON object: {_ONE_OBJECT_A_LINE} "
                    "(pandas: to_json(FILE, orient='records', lines=True))"
                )
            empty = False
            yield where, _object(where, text)
    if empty:
        raise DataError(f"{path} is empty")


def _refuse_missing(path: Path) -> None:
    if path.is_file():
        return
    there = sorted(p.name for p in path.parent.glob("*.jsonl")) if path.parent.is_dir() else []
    hint = f"{path.parent} holds {', '.join(there)}" if there else f"there is no data in {path.parent}"
    raise DataError(f"{path} does not exist; {hint}")


def _decoded(where: str, line: bytes) -> str:
    """The text of a line, without a byte order mark. UTF-16 shows itself by zero bytes, which no JSON holds."""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8") from error
    if "\0" in text:
        raise DataError(f"{where}: not UTF-8, as it has zero bytes; save the file as UTF-8")
    return text


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        row = json.loads(
            text,
            object_pairs_hook=_without_repeated_keys,
            parse_int=_whole_number,
            parse_float=_decimal_number,
            parse_constant=_no_json_number,
        )
    except _Unreadable as error:
        raise DataError(f"{where}: {error}") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not a JSON object ({error.msg}); {_ONE_OBJECT_A_LINE}") from error
    except RecursionError as error:
        raise DataError(f"{where}: lists or objects are nested too deeply; write flat fields") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: not a JSON object but {type(row).__name__}; {_ONE_OBJECT_A_LINE}")
    return row


# --- what `json` would accept, or refuse in other words --------------------------------------------------------------


class _Unreadable(ValueError):
    """What is wrong with a line, and what to write instead."""


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _Unreadable(f"{shortened(repeated)} is there twice in one object; keep one of them")
    return row


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:  # Python's own limit
        digits = len(text.removeprefix("-"))
        raise _Unreadable(f"the whole number {_begun(text)} has {digits} digits; write a shorter one") from error


def _decimal_number(text: str) -> Decimal:
    """The number exactly as written, if a float comes near it: an exponent of a billion would fill the memory."""
    near = float(text)
    lost = near == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
    if math.isinf(near) or lost:
        raise _Unreadable(f"the number {_begun(text)} is too {'small' if lost else 'large'}; write it as a text")
    return Decimal(text) if near else Decimal(0)


def _no_json_number(token: str) -> NoReturn:
    raise _Unreadable(f"{token} is no JSON value; write null where there is no value")


def _begun(number: str) -> str:
    return number if len(number) <= 20 else f"{number[:20]}..."
