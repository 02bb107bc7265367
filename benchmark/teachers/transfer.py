"""Copies replies between stores as JSON lines. Damaged replies are reported and left out; existing ones are kept."""

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
    """Numbers of replies of an export or import."""

    moved: int = 0
    """Copied."""
    known: int = 0
    """Left out, as the store already had the same reply."""
    conflicting: int = 0
    """Left out, as the store already had another reply to the same request."""
    damaged: int = 0
    """Left out, as they could not be read."""

    @property
    def complete(self) -> bool:
        """True if no reply was conflicting or damaged."""
        return self.conflicting == self.damaged == 0

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in vars(self).items())


def export_jsonl(store: TeacherStore, file: Path, say: Callable[[str], None]) -> Tally:
    """Writes every reply of a store as one line of JSON, in the order of purchase; attempts are left out.

    The file appears only when it is complete. `say` receives a line per damaged reply.
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
    """Adds the replies of an export. `say` receives a line per damaged or conflicting reply, which is left out."""
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
                say(f"{file}: request {key[:16]} has another reply in {store.path}, which is kept")
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
