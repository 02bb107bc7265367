"""The score of a distribution teacher on the test questions: measured once for all cells of a results folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmark.records.journal import as_json, from_json, replace_file
from benchmark.records.record_parts import TeacherReference

FOLDER = ".teacher_references"
"""Below the results folder; one file per score. It can be deleted while nothing runs."""


@dataclass(frozen=True)
class MeasuredReference:
    """A teacher's score, and what its test adds to a record beside it."""

    reference: Mapping[str, Any]
    """The fields of `TeacherReference`."""
    counts: Mapping[str, int]
    """What the teacher had to cut, by the names of `Student.counters`."""


def kept_or_measured(
    results: Path, reference_id: str, measure: Callable[[], MeasuredReference]
) -> tuple[MeasuredReference, bool]:
    """The score with this id, and whether it was kept already.

    A second process waits while the first one measures. A file that cannot be read is measured and written anew: it
    holds nothing that cannot be computed again.
    """
    path = results / FOLDER / f"{reference_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if (known := _read(path)) is not None:
            return known, True
        measured = measure()
        text = json.dumps(as_json(measured), indent=2, ensure_ascii=False, allow_nan=False)
        replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))
    return measured, False


def _read(path: Path) -> MeasuredReference | None:
    try:
        known: MeasuredReference = from_json(MeasuredReference, json.loads(path.read_text(encoding="utf-8")))
        TeacherReference.model_validate(known.reference)
    except (OSError, ValueError):
        return None
    return known
