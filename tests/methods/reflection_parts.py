"""What the tests of selective reflection share: a scripted student, a small context, and examples from easy to hard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmark.random_streams import stream
from benchmark.types import Reply, Request, Stage, TrainingExample
from methods.selective_reflection import SelectiveReflection
from tests.student.student_parts import example


@dataclass
class Scripted:
    """A student that says what a script says of a prompt, and finds its targets as likely as another says."""

    says: Callable[[str], str]
    finds: Callable[[TrainingExample], Sequence[float]]
    asked: list[str] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        self.asked += [request.prompt for request in requests]
        return [[Reply(self.says(request.prompt))] for request in requests]

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        return [tuple(self.finds(each)) for each in examples]


@dataclass
class Small:
    """As much of a context as the curriculum uses."""

    student: Any = None
    loss_settings: Mapping[str, float] = field(default_factory=dict)
    seed: int = 1
    notes: Counter[str] = field(default_factory=Counter)

    def note(self, **counts: float) -> None:
        self.notes.update(counts)

    def rng(self, *key: str | int) -> np.random.Generator:
        return stream("seed", self.seed, *key)


def by_signs(**settings: Any) -> SelectiveReflection:
    return SelectiveReflection(**{"overlap": "signs", **settings})


def played(curriculum: SelectiveReflection, examples: Sequence[TrainingExample], context: Any) -> list[Stage]:
    stages: list[Stage] = []
    while (stage := curriculum.next_stage(stages, examples, context)) is not None:
        stages.append(stage)
    return stages


def groups_of(stage: Stage) -> list[str]:
    return list(dict.fromkeys(each.group for each in stage.examples))


def graded(count: int) -> tuple[list[TrainingExample], Small]:
    """Examples of which `q0` is the easiest by both signals, and so on, with their student."""
    examples = [example(f"q{i}", f"{i}", "x" * count) for i in range(count)]
    student = Scripted(
        says=lambda prompt: "x" * (count - int(prompt)),
        finds=lambda each: [-1.0 - int(each.prompt)] * 3,
    )
    return examples, Small(student)
