"""Measures how long ELAD's selection takes to score questions: sampled explanations and all their early answers.

The student is the `student/` folder of a finished cell on `chain_sum`, such as one of

    python -m benchmark student=tiny_warm optimization=tiny_warm budget.questions=150

usage: python speed/explanation_scoring.py STUDENT_DIR [QUESTIONS] [EXPLANATIONS] [BATCH_SIZE]
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import Context
from benchmark.random_streams import stream
from benchmark.student.fit import set_threads
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.settings import TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.tasks import chain_sum
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Round
from methods.elad.selection import ExplanationUncertainty, StepUncertainty


@dataclass
class Watch:
    """As much of a context as a selection uses."""

    student: Student
    task: GeneratedAnswer = field(default_factory=GeneratedAnswer)
    format: RationaleThenAnswer = field(default_factory=RationaleThenAnswer)
    round: Round = field(default_factory=lambda: Round(1, 0.5))
    notes: Counter[str] = field(default_factory=Counter)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A generator for ties."""
        return stream("seed", 1, *key)

    def note(self, **counts: float) -> None:
        """Adds to the sums."""
        self.notes.update(cast(Any, counts))


def main() -> None:
    """Prints one line of JSON per way of asking for early answers."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    count, explanations, batch_size = (int(given) for given in (*sys.argv[2:], *("500", "5", "0")[len(sys.argv) - 2 :]))
    source = PretrainedStudent("benchmark", folder, max_length=192, max_new_tokens=96, overlong="refuse")
    settings = TrainerSettings(accelerator="cpu", threads=1, evaluation_batch_size=batch_size or None)
    student = load_student(source, 1, settings, "32-true")
    set_threads(settings, student.parameters)
    keep_freed_memory()
    pool = [row.without_gold() for row in chain_sum.examples(count, random.Random(0), set())]
    for way in ("finish", "now"):
        selection = ExplanationUncertainty(explanations, intra=StepUncertainty(way=cast(Any, way)))
        watch, before, started = Watch(student), student.usage, time.perf_counter()
        selection.rank(pool, cast(Context, watch))
        seconds, work = time.perf_counter() - started, student.usage - before
        told = {"way": way, "questions": count, "explanations": explanations, "seconds": round(seconds, 2)}
        print(json.dumps({**told, "texts": work.calls, "tokens": work.completion_tokens}), flush=True)


if __name__ == "__main__":
    main()
