"""The key of a request in the teacher store: a hash of everything that its reply may depend on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, replace
from typing import Any, cast

from benchmark.components import canonical
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.teacher import Teacher
from benchmark.types import Json, Request


def teacher_identity(teacher: Teacher, dataset: Dataset) -> Json:
    """The teacher as plain data: all settings that can change a reply, and `Teacher.fingerprint`.

    A field marked `store: False` decides only how a reply is used; one marked `store: "if changed"` came later than
    replies that people have bought, and counts only if it differs from its default, with which they were bought.
    """
    settings = canonical(teacher)
    for field in fields(cast("Any", teacher)):
        counts = field.metadata.get("store", True)
        if not counts or (counts == "if changed" and getattr(teacher, field.name) == field.default):
            settings.pop(field.name, None)
    return {"settings": settings, "content": teacher.fingerprint(dataset)}


def stored_request(teacher: Json, request: Request, sample: int) -> Json:
    """One sample of a request to a teacher, as plain data.

    It includes the role, because the random numbers of a teacher in this process depend on it. It excludes the
    question's id, which no stored teacher reads, so that two rows with the same text share one reply.
    """
    return {
        "teacher": teacher,
        "role": request.role,
        "prompt": request.prompt,
        "prefix": request.prefix,
        "max_new_tokens": request.max_new_tokens,
        "temperature": float(request.temperature),  # 0 and 0.0 are one temperature
        "cap_is_final": request.cap_is_final,
        "sample": sample,
        **_seldom_given(request),
    }


def _seldom_given(request: Request) -> dict[str, Json]:
    """The rarely used fields, only if they are set, so that they do not change the keys of other requests."""
    given: dict[str, Json] = {}
    if request.stop:
        given["stop"] = list(request.stop)
    if request.contrast is not None:
        given["contrast"] = asdict(replace(request.contrast, weight=float(request.contrast.weight)))
    if request.continuations:
        given["continuations"] = list(request.continuations)
    return given


def key_of(request: Json) -> str:
    """The request's key in the store: the SHA-256 of its canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(request).encode()).hexdigest()


def canonical_json(value: Json) -> str:
    """JSON in ASCII with sorted keys and no spaces: equal values give the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
