"""Which cells exist in a results folder, and in which state."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.errors import ConfigError
from benchmark.records.contents import changed
from benchmark.records.schema import CompleteRecord, Record, RecordError, read_record

RECORD = "record.json"


@dataclass(frozen=True)
class CellOnDisk:
    """`problem` says why a damaged cell cannot be used, or why a failed one failed."""

    status: Literal["complete", "failed", "damaged", "missing"]
    record: Record | None = None
    problem: str | None = None


def cell_on_disk(results: Path, cell_id: str) -> CellOnDisk:
    """What is known of a cell. Complete is what a readable record says; the folder alone proves nothing."""
    path = results / cell_id / RECORD
    if not path.exists():
        return CellOnDisk("missing")
    try:
        record = read_record(path)
    except RecordError as error:
        return CellOnDisk("damaged", problem=f"{path} is damaged ({error}); the cell is made again")
    status = record.status
    if status == "complete":
        problem = changed(path.parent, record.files)
        if problem is not None:
            return CellOnDisk("damaged", problem=f"{problem}; the cell is made again")
        return CellOnDisk("complete", record)
    return CellOnDisk("failed", record, record.error)


def complete_records(results: Path) -> Iterator[CompleteRecord]:
    """The records of all complete cells of a results folder; none where there is no such folder."""
    for path in sorted(results.glob(f"[!.]*/{RECORD}")):
        state = cell_on_disk(results, path.parent.name)
        if state.status == "complete" and isinstance(state.record, CompleteRecord):
            yield state.record


def refuse_unwritable(results: Path) -> None:
    """Raises ConfigError where cells could not be written; makes the folder."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe = results / ".write-probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(results, error.strerror) from error


def refuse_write_protected(results: Path) -> None:
    """Raises ConfigError where cells could not be written, as far as that can be told without writing."""
    there = next(folder for folder in (results, *results.absolute().parents) if os.path.exists(folder))
    if not there.is_dir():
        raise _unwritable(results, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK):
        raise _unwritable(results, os.strerror(errno.EACCES))


def _unwritable(results: Path, reason: str | None) -> ConfigError:
    return ConfigError(f"results_dir={results} cannot be written ({reason}); give another results_dir")
