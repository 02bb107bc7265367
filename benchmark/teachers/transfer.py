"""Carrying replies between stores as JSON lines: what is damaged is named and left behind, what is there stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmark.teachers.store import TeacherStore
from benchmark.teachers.stored_reply import Damaged, StoredReply, from_line, to_line

LINES_PER_TRANSACTION = 1000


@dataclass
class Tally:
    """What became of the replies. `known` were there already, `conflicting` met another reply to the same request."""

    moved: int = 0
    known: int = 0
    conflicting: int = 0
    damaged: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing was left behind."""
        return self.conflicting == self.damaged == 0

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in vars(self).items())


def export_jsonl(store: TeacherStore, file: Path, say: Callable[[str], None]) -> Tally:
    """Writes every reply of a store as a line, in the order in which they were bought; the file is whole or not there.

    Attempts stay behind.
    """
    tally, partial = Tally(), file.with_name(f".{file.name}.partial")
    with partial.open("w", encoding="utf-8") as lines:
        for key, stored in store.every():
            if isinstance(stored, Damaged):
                tally.damaged += 1
                say(f"{store.path}: the reply to request {key[:16]} is damaged ({stored.problem}); it is left out")
            else:
                lines.write(to_line(key, stored))
                tally.moved += 1
        lines.flush()
        os.fsync(lines.fileno())
    partial.replace(file)
    return tally


def import_jsonl(store: TeacherStore, file: Path, say: Callable[[str], None]) -> Tally:
    """Adds the replies of an export. A line that is damaged, or whose request has another reply here, is told."""
    tally = Tally()
    rows = _readable(file, tally, say)
    while some := list(islice(rows, LINES_PER_TRANSACTION)):
        standing = store.lookup({key for key, _ in some})
        new: dict[str, StoredReply] = {}
        for key, stored in some:
            there = standing.setdefault(key, stored)
            if there is stored:
                tally.moved += 1
                new[key] = stored
            elif there.reply == stored.reply:
                tally.known += 1
            else:
                tally.conflicting += 1
                say(f"{file}: request {key[:16]} has another reply in {store.path}, which stays")
        store.put(new)
    return tally


def _readable(file: Path, tally: Tally, say: Callable[[str], None]) -> Iterator[tuple[str, StoredReply]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield from_line(line.decode("utf-8"))
            except ValueError as error:
                tally.damaged += 1
                say(f"{file}, line {number} is damaged ({str(error).splitlines()[0]}); it is left out")
