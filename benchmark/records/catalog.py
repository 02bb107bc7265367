"""Which cells exist in a results folder, and in which state."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, SoftFileLock
from pydantic import ValidationError

from benchmark.errors import ConfigError
from benchmark.records.contents import changed
from benchmark.records.schema import CompleteRecord, FileContent, Record, RecordError, parse_record, read_json_object

RECORD = "record.json"
EXPLANATIONS = "explanations.parquet"


@dataclass(frozen=True)
class CellOnDisk:
    """What is known of a cell in a results folder."""

    status: Literal["complete", "failed", "damaged", "missing"]
    record: Record | None = None
    """None for a damaged or missing cell, and for a complete one whose record has a field of a wrong type."""
    problem: str | None = None
    """Why a damaged cell cannot be used, why a failed one failed, or what is wrong with a complete one's record."""


def cell_on_disk(results: Path, cell_id: str) -> CellOnDisk:
    """What is known of a cell. Complete is what a readable record says; the folder alone proves nothing."""
    path = results / cell_id / RECORD
    if not path.exists():
        return CellOnDisk("missing")
    content: dict[str, Any] = {}
    try:
        content = read_json_object(path)
        record = parse_record(content)
    except RecordError as error:
        if _is_finished(path.parent, content):
            return CellOnDisk("complete", problem=f"{path}: {error}; the finished cell stays as it is")
        return CellOnDisk("damaged", problem=f"{path} is damaged ({error}); the cell is made again")
    status = record.status
    if status == "complete":
        problem = changed(path.parent, record.files)
        if problem is not None:
            return CellOnDisk("damaged", problem=f"{problem}; the cell is made again")
        return CellOnDisk("complete", record)
    return CellOnDisk("failed", record, record.error)


def _is_finished(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a record that the schema refuses says that its cell is finished, and all files are as written.

    A field that no run needs must not throw away what was paid for.
    """
    if content.get("status") != "complete" or content.get("cell_id") != folder.name:
        return False
    try:
        files = {name: FileContent.model_validate(known) for name, known in content["files"].items()}
    except (KeyError, AttributeError, ValidationError):
        return False
    return bool(files) and changed(folder, files) is None


def finished_record(folder: Path) -> CompleteRecord:
    """The record of the finished cell in a folder. Raises ConfigError if there is none."""
    found = cell_on_disk(folder.parent, folder.name)
    if not isinstance(found.record, CompleteRecord):
        raise ConfigError(f"{folder} holds no finished cell ({found.problem or found.status})")
    return found.record


def complete_records(results: Path) -> Iterator[CompleteRecord]:
    """The records of all complete cells of a results folder; none where there is no such folder."""
    for path in sorted(results.glob(f"[!.]*/{RECORD}")):
        state = cell_on_disk(results, path.parent.name)
        if state.status == "complete" and isinstance(state.record, CompleteRecord):
            yield state.record


def refuse_unwritable(results: Path) -> None:
    """Raises ConfigError where cells could not be written, or not be locked; makes the folder."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe = results / ".write-probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(results, error.strerror) from error
    _refuse_without_locks(results)


def _refuse_without_locks(results: Path) -> None:
    """Raises ConfigError where the file system knows no locks, such as some mounts of NFS and Lustre."""
    lock = FileLock(results / f".lock-probe-{os.getpid()}")
    try:
        with warnings.catch_warnings(action="ignore"), lock:  # it warns of the soft lock that it takes instead
            reason = "flock is not implemented" if issubclass(type(lock), SoftFileLock) else None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    Path(lock.lock_file).unlink(missing_ok=True)
    if reason is not None:  # a soft lock outlives a process that is killed, and would stop the same command for ever
        raise ConfigError(
            f"results_dir={results} is on a file system without file locks ({reason}), so that two commands could "
            "train one cell at once; give a results_dir on another one, or mount this one with locks (Lustre: -o flock)"
        )


def refuse_write_protected(results: Path) -> None:
    """Raises ConfigError where cells could not be written, as far as that can be told without writing."""
    there = next(folder for folder in (results, *results.absolute().parents) if os.path.exists(folder))
    if not there.is_dir():
        raise _unwritable(results, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK):
        raise _unwritable(results, os.strerror(errno.EACCES))


def _unwritable(results: Path, reason: str | None) -> ConfigError:
    return ConfigError(f"results_dir={results} cannot be written ({reason}); give another results_dir")
