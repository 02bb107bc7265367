"""A stored reply as a row of the database and as a line of JSON, both with a checksum that reveals damage."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, get_args

import pydantic

from benchmark.teachers.store_key import canonical_json, key_of
from benchmark.types import Finish, Json, Reply


@dataclass(frozen=True)
class StoredReply:
    """A final reply in the teacher store."""

    request: Json
    """What `stored_request` returns."""
    reply: Reply
    teacher: str
    """The teacher's name, for people."""
    created: str
    """Time of the purchase, ISO 8601 in UTC."""
    buyer: str = ""
    """Mark of the cell that paid; empty for an imported reply."""


@dataclass(frozen=True)
class Damaged:
    """A row that differs from what was written; `problem` says how."""

    problem: str
    teacher: str = "unknown"


Columns = tuple[bytes, str, str, str, str, str, bytes]
"""key, request, reply, teacher, created, buyer, checksum."""


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_columns(key: str, stored: StoredReply) -> Columns:
    """The database row of a reply."""
    request, reply = canonical_json(stored.request), canonical_json(_kept(stored.reply))
    checksum = _checksum(key, request, reply, stored.teacher, stored.created)
    return bytes.fromhex(key), request, reply, stored.teacher, stored.created, stored.buyer, bytes.fromhex(checksum)


def from_columns(row: Columns) -> StoredReply | Damaged:
    """The reply in a database row, exactly as it was stored; `Damaged` if the row is not as it was written."""
    key, request, reply, teacher, created, buyer, checksum = row
    try:
        if _checksum(key.hex(), request, reply, teacher, created) != checksum.hex():
            return Damaged("its checksum does not match", str(teacher))
        return StoredReply(json.loads(request), reply_of(reply), teacher, created, buyer)
    except (ValueError, TypeError, AttributeError) as error:  # SQLite lets any column hold any type
        return Damaged(f"it cannot be read, {type(error).__name__}", str(teacher))


def to_line(key: str, stored: StoredReply) -> str:
    """One line of JSON for another store; it leaves out the buyer."""
    request, reply = canonical_json(stored.request), canonical_json(_kept(stored.reply))
    checksum = _checksum(key, request, reply, stored.teacher, stored.created)
    row = {"key": key, "teacher": stored.teacher, "created": stored.created, "checksum": checksum}
    return json.dumps({**row, "request": stored.request, "reply": _kept(stored.reply)}) + "\n"


def from_line(line: str) -> tuple[str, StoredReply]:
    """(key, reply) of a line. Raises ValueError, with the reason, if the line is not as it was written."""
    row = json.loads(line)
    try:
        key, request, reply = row["key"], row["request"], row["reply"]
        teacher, created, checksum = str(row["teacher"]), str(row["created"]), row["checksum"]
    except (KeyError, TypeError) as error:
        raise ValueError("it is no exported reply") from error
    if key != key_of(request):
        raise ValueError("its key does not match its request")
    if checksum != _checksum(key, canonical_json(request), canonical_json(reply), teacher, created):
        raise ValueError("its checksum does not match")
    return key, StoredReply(request, _reply(reply), teacher, created)


def reply_of(text: str) -> Reply:
    """The reply in the JSON text of a `reply` column."""
    return _reply(json.loads(text))


def _kept(reply: Reply) -> Json:
    """What a store keeps of a reply: all but the time, which is another one in every run."""
    values: Json = asdict(reply)
    del values["seconds"]
    return values


def _checksum(key: str, request: str, reply: str, teacher: str, created: str) -> str:
    return hashlib.sha256("\0".join((key, request, reply, teacher, created)).encode("utf-8", "replace")).hexdigest()


def _reply(value: Any) -> Reply:
    """The reply in JSON values; older stores hold a server's own word as `finish`, which becomes `other`."""
    if isinstance(value, dict) and isinstance(ended := value.get("finish"), str) and ended not in get_args(Finish):
        value = {**value, "finish": "other", "said": value.get("said") or f"finish_reason: {ended}"}
    reply: Reply = _adapter().validate_python(value)
    return reply


@lru_cache(maxsize=1)
def _adapter() -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(Reply)
