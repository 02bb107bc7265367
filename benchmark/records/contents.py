"""Sizes and hashes of the files next to a record, and whether the files still match them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from benchmark.records.schema import FileContent
from benchmark.types import Json

SMALL = 8 * 2**20
"""Bytes. A larger file is checked by its size only, not by its hash, so that planning stays fast."""
REMOVABLE = "student"
"""The folder that a user may delete from a finished cell to save space: no table needs the weights."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_hash(value: Json) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys; 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def contents(folder: Path, *names: str) -> dict[str, FileContent]:
    """Size and hash by path below `folder`, of the named files and of all files in the named folders.

    A name without a file or folder is left out.
    """
    files = [path for name in names for path in _files(folder / name)]
    return {
        str(path.relative_to(folder)): FileContent(bytes=path.stat().st_size, sha256=file_hash(path)) for path in files
    }


def changed(folder: Path, expected: Mapping[str, FileContent]) -> str | None:
    """One line about the first file that is missing or differs from what `contents` returned; None if all match."""
    for name, known in expected.items():
        path = folder / name
        if name.startswith(f"{REMOVABLE}/") and not (folder / REMOVABLE).exists():
            continue
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != known.bytes:
            return f"{path} has {path.stat().st_size} bytes, but was written with {known.bytes}"
        if known.bytes <= SMALL and file_hash(path) != known.sha256:
            return f"{path} has changed since it was written"
    return None


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path] * path.is_file()
