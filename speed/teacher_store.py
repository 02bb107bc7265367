"""Measures the teacher store: looking up 10,000 replies while the store grows to many rows.

`put_us_per_row` is the time per row, in microseconds, of writing a thousand rows in one transaction, as an import does.
`put_one_ms` is the time, in milliseconds, of writing a single row to the disk, as a cell does after each reply.

python speed/teacher_store.py [ROWS] [FOLDER]: fills a store in FOLDER (a temporary one by default, removed
afterwards) with ROWS replies (1,000,000 by default), and prints one JSON object for every tenth.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmark.teachers.store import TeacherStore
from benchmark.teachers.store_key import key_of, stored_request
from benchmark.teachers.stored_reply import StoredReply
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.types import PlannedRequest, Reply, Request, Usage

TEACHER = {"settings": {"_target_": "any.Teacher", "model": "any", "temperature": 0.0}, "content": ""}
PROMPT = "Q: " + "a worked example of some length. " * 20
TEXT = "First this, then that, and so the rest follows from it. " * 6
LOOKED_UP = 10_000
BATCH = 1000
SINGLE, ALONE = 200, 10**9
"""How many rows are written one by one, and the number of the first one."""


class Nobody:
    """A teacher that raises AssertionError if it is asked."""

    def covers(self, question_id: str) -> bool:
        """True: it covers every question."""
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """Raises AssertionError."""
        raise AssertionError("no budget is asked about")

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """Raises AssertionError."""
        raise AssertionError("every reply is in the store")


def request_for(number: int) -> Request:
    """The request with that number."""
    return Request("few_shot_cot", f"{PROMPT}{number}", str(number), 256)


def rows(start: int, end: int) -> Iterator[tuple[str, StoredReply]]:
    """Yields (key, reply) for the requests with the numbers `start` to `end` - 1."""
    for number in range(start, end):
        request = stored_request(TEACHER, request_for(number), 0)
        reply = Reply(f"{TEXT}{number}", "stop", 180, 80)
        yield key_of(request), StoredReply(request, reply, "any", "2026-11-22T00:00:00+00:00")


def lookup_seconds(store: TeacherStore, stored: int) -> dict[str, float]:
    """Seconds to look up 10,000 stored replies: all keys together, and one request after the other as cells ask."""
    numbers = random.Random(stored).sample(range(stored), min(LOOKED_UP, stored))
    keys = [key_of(stored_request(TEACHER, request_for(number), 0)) for number in numbers]
    started = time.perf_counter()
    assert len(store.lookup(keys)) == len(keys)
    by_key = time.perf_counter() - started

    teacher = StoredTeacher(Nobody(), TEACHER, "any", store, buyer="me")

    async def one_by_one() -> None:
        for number in numbers:
            await teacher.reply(request_for(number), 1)

    started = time.perf_counter()
    asyncio.run(one_by_one())
    return {"lookup_10000_by_key_s": round(by_key, 3), "lookup_10000_asked_s": round(time.perf_counter() - started, 3)}


def bytes_of(path: Path) -> int:
    """The size of the store in bytes, its log included."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def measure(path: Path, total: int) -> None:
    """Fills a store in ten steps and prints one line of JSON after each."""
    store = TeacherStore(path, print)
    step = max(total // 10, 1)
    for start in range(0, total, step):
        seconds = 0.0
        for first in range(start, start + step, BATCH):
            some = dict(rows(first, min(first + BATCH, start + step)))
            began = time.perf_counter()
            store.put(some)
            seconds += time.perf_counter() - began
        stored = start + step
        alone = list(rows(ALONE + stored, ALONE + stored + SINGLE))
        began = time.perf_counter()
        for key, reply in alone:
            store.put({key: reply})
        one = (time.perf_counter() - began) / SINGLE
        size = bytes_of(path)
        found = {"rows": stored, "put_us_per_row": round(seconds / step * 1e6, 1), "bytes_per_row": size // stored}
        found["put_one_ms"] = round(one * 1e3, 2)
        print(json.dumps(found | lookup_seconds(store, stored)), flush=True)
    store.close()


def main() -> None:
    """Reads the arguments and runs the measurement."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if len(sys.argv) > 2:
        measure(Path(sys.argv[2]) / "store.sqlite", total)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder) / "store.sqlite", total)


if __name__ == "__main__":
    main()
