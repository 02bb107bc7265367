"""A small context for selections: a scripted student that counts what it is asked, and seeds as in a cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import Context
from benchmark.random_streams import stream
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Annotation, Example, Question, Reply, Request, Round

POOL = [Question(f"q-{number}", f"{number}+1") for number in range(30)]


def number(request: Request) -> int:
    return int(request.question_id.rpartition("-")[2])


@dataclass
class CountingStudent:
    """Says what a script says, believes what a script believes, and counts its texts."""

    says: Callable[[Request, int], str] = lambda request, sample: "1+1=2#2"
    believes: Callable[[Request, str], float] = lambda request, text: -1.0
    places: Callable[[str], Sequence[float]] = lambda text: (float(text.partition("+")[0]), 0.0)
    asked: Counter[Any] = field(default_factory=Counter)
    embedded: Counter[str] = field(default_factory=Counter)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        self.asked.update((request, sample) for request in requests for sample in range(samples))
        return [[self._reply(request, sample) for sample in range(samples)] for request in requests]

    def _reply(self, request: Request, sample: int) -> Reply:
        if request.continuations:
            scores = tuple(self.believes(request, text) for text in request.continuations)
            return Reply("", continuation_log_probabilities=scores)
        text = self.says(request, sample)
        return Reply(text, "stop", 1, len(text), log_probability=self.believes(request, text))

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded.update(texts)
        return np.array([self.places(text) for text in texts], dtype=np.float32)


@dataclass
class SmallContext:
    """As much of a context as selections use."""

    student: CountingStudent = field(default_factory=CountingStudent)
    seed: int = 1
    round: Round = field(default_factory=lambda: Round(1, 0.5))
    format: Any = field(default_factory=RationaleThenAnswer)
    task: Any = field(default_factory=GeneratedAnswer)
    annotations: Sequence[Annotation] = ()
    golds: Callable[[Question], str] = lambda question: "2"
    notes: Counter[str] = field(default_factory=Counter)

    def rng(self, *key: str | int) -> np.random.Generator:
        return stream("seed", self.seed, self.round.index, *key)

    def data_rng(self, *key: str | int) -> np.random.Generator:
        return stream("data_seed", 7, *key)

    def note(self, **counts: float) -> None:
        self.notes.update(counts)

    def gold(self, question: Question) -> Example:
        return Example(question.id, question.text, self.golds(question))


@dataclass
class Asked:
    """As much of a context as a judge uses."""

    assistant: Any
    task: Any = field(default_factory=GeneratedAnswer)


def ranked(selection: Any, context: SmallContext, pool: Sequence[Question] = POOL) -> list[Any]:
    return list(selection.rank(pool, cast(Context, context)))


def numbers(picks: Sequence[Any]) -> list[int]:
    return [int(pick.question.id.rpartition("-")[2]) for pick in picks]
