"""A request to a teacher as the store knows it: everything that its reply may depend on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from benchmark.components import canonical
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.teacher import Teacher
from benchmark.types import Json, Request


def teacher_identity(teacher: Teacher, dataset: Dataset) -> Json:
    """Who answers: all settings that can change a reply, and the hash of what the replies are read from."""
    return {"settings": canonical(teacher), "content": teacher.fingerprint(dataset)}


def stored_request(teacher: Json, ask: Request, sample: int) -> Json:
    """One sample of a rendered prompt, as plain data.

    The role is part of it, because a teacher in this process draws other random numbers in another role. The question's
    id is not: no stored teacher reads it, so that two rows with the same text are one request.
    """
    return {
        "teacher": teacher,
        "role": ask.role,
        "prompt": ask.prompt,
        "prefix": ask.prefix,
        "max_new_tokens": ask.max_new_tokens,
        "temperature": float(ask.temperature),  # 0 and 0.0 are one temperature
        "cap_is_final": ask.cap_is_final,
        "sample": sample,
        **_seldom_given(ask),
    }


def _seldom_given(ask: Request) -> dict[str, Json]:
    """What few requests have stands in those alone, so that it leaves the keys of all others as they are."""
    given: dict[str, Json] = {}
    if ask.stop:
        given["stop"] = list(ask.stop)
    if ask.contrast is not None:
        given["contrast"] = asdict(replace(ask.contrast, weight=float(ask.contrast.weight)))
    if ask.continuations:
        given["continuations"] = list(ask.continuations)
    return given


def key_of(request: Json) -> str:
    """The request's address in the store: the SHA-256 of its canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(request).encode()).hexdigest()


def canonical_json(value: Json) -> str:
    """One text for equal values, in ASCII, so that it is the same in every file and database."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
