"""A process that buys through the teacher store, as tests start it: STORE COUNTER QUESTIONS DELAY SEED.

Every reply that the teacher really gives is a line in COUNTER, written when the teacher is asked. Prints what it got.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmark.teachers.store import TeacherStore
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.types import Reply, Request


@dataclass(frozen=True)
class CountingTeacher:
    """Answers differently at every call, so that a replay shows; keeps its books in a file."""

    counter: Path
    delay: float = 0.0
    finish: str = "stop"

    def covers(self, question_id: str) -> bool:
        return True

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        for sample in range(first, first + samples):
            with self.counter.open("a", encoding="utf-8") as lines:
                lines.write(f"{request.prompt} {sample}\n")
        await asyncio.sleep(self.delay)
        return [
            Reply(
                f"{sample}: {random.random()}",
                self.finish,
                len(request.prompt),
                3 + sample,
                random.random(),
                (7, sample),
            )
            for sample in range(first, first + samples)
        ]


def asked(counter: Path) -> list[str]:
    """Every request that the teacher got."""
    return counter.read_text(encoding="utf-8").splitlines() if counter.exists() else []


async def buy(teacher: StoredTeacher, numbers: list[int], at_once: int = 4) -> dict[int, str]:
    got: dict[int, str] = {}
    for start in range(0, len(numbers), at_once):
        some = numbers[start : start + at_once]
        replies = await asyncio.gather(*(teacher.reply(Request("role", f"q{n}", str(n)), 2) for n in some))
        got |= {n: "|".join(reply.text for reply in row) for n, row in zip(some, replies, strict=True)}
    return got


def main() -> None:
    store_path, counter, questions, delay, seed = sys.argv[1:]
    store = TeacherStore(Path(store_path), lambda line: sys.stderr.write(f"{line}\n"))
    teacher = StoredTeacher(
        CountingTeacher(Path(counter), float(delay)), "scripted", "scripted", store, f"buyer {seed}"
    )
    numbers = list(range(int(questions)))
    random.Random(int(seed)).shuffle(numbers)
    got = asyncio.run(buy(teacher, numbers))
    store.close()
    sys.stdout.write(json.dumps({str(n): got[n] for n in sorted(got)}))


if __name__ == "__main__":
    main()
