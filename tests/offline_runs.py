"""Reads what W&B wrote offline: `run-ID.wandb`, a log in LevelDB's format whose entries are protobuf messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, FILE_HEADER, ENTRY_HEADER = 32768, 7, 7
FULL, LAST = 1, 4


@dataclass
class OfflineRun:
    """One run, as `wandb sync` would upload it."""

    path: Path
    run_id: str = ""
    group: str = ""
    name: str = ""
    project: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None

    def curve(self, name: str) -> list[tuple[int, Any]]:
        """(step, value) of everything that was logged under a name, in the order of logging."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]

    def table(self, name: str) -> dict[str, Any]:
        """The content of a logged table."""
        [(_, path)] = self.curve(f"{name}/path")
        content: dict[str, Any] = json.loads((self.path.parent / "files" / path).read_text(encoding="utf-8"))
        return content


def offline_runs(folder: Path) -> list[OfflineRun]:
    """All runs below a folder, by run id and path. W&B must have been torn down, so that all is written."""
    return sorted(map(offline_run, folder.glob("**/run-*.wandb")), key=lambda run: (run.run_id, run.path))


def offline_run(path: Path) -> OfflineRun:
    """The run of a `.wandb` file."""
    from wandb.proto.wandb_internal_pb2 import Record

    run = OfflineRun(path)
    for entry in entries(path.read_bytes()):
        record = Record()
        record.ParseFromString(entry)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.run_id, run.group, run.name = record.run.run_id, record.run.run_group, record.run.display_name
            run.project, run.tags = record.run.project, tuple(record.run.tags)
            run.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            run.history.append(row)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def entries(content: bytes) -> Iterator[bytes]:
    """The entries of a log: each whole, or cut into pieces where a block of the file ends."""
    position, pieces = FILE_HEADER, []
    while position + ENTRY_HEADER <= len(content):
        left = BLOCK - position % BLOCK
        if left < ENTRY_HEADER:  # too short for an entry
            position += left
            continue
        size, kind = struct.unpack("<HB", content[position + 4 : position + ENTRY_HEADER])
        pieces.append(content[position + ENTRY_HEADER : position + ENTRY_HEADER + size])
        position += ENTRY_HEADER + size
        if kind in (FULL, LAST):
            yield b"".join(pieces)
            pieces = []
