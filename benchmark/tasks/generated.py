"""Datasets that are generated, with worked solutions: no download, no licence, and a teacher that knows the truth."""

from __future__ import annotations

import importlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol, cast, runtime_checkable

from benchmark.contract import Task
from benchmark.errors import DataError
from benchmark.random_streams import stream_seed
from benchmark.tasks.dataset import Exemplar, Splits, TestSplit, content_hash
from benchmark.tasks.steps import StepCheck
from benchmark.types import Example, Question


@runtime_checkable
class Generator(Protocol):
    """What a module such as `benchmark.tasks.chain_sum` offers, or a component where there is something to set.

    It may also offer `check_steps(question, rationale) -> StepCheck`, which says how far reasoning is right.
    """

    def examples(self, count: int, generator: random.Random, taken: set[str]) -> list[Example]:
        """Distinct questions that are not in `taken`, which grows by them. Raises ValueError where too few exist."""
        ...

    def solve(self, question: Question) -> tuple[str, str]:
        """(rationale, answer), worked out from the question alone."""
        ...

    def solve_wrongly(self, question: Question, generator: random.Random) -> tuple[str, str]:
        """(rationale, answer) with one wrong step that is carried through to a wrong answer."""
        ...


@dataclass(frozen=True)
class GeneratedDataset:
    """Splits drawn from a generator: test first, so that its questions do not depend on the pool's size.

    `generator` names a module, or is a component with settings of its own.
    """

    name: str
    generator: str | Generator
    task: Task
    exemplars: tuple[Exemplar, ...]
    pool_size: int
    validation_size: int
    test_size: int
    generation_seed: int = 0
    licence: str = field(default="unknown", metadata={"identity": False})

    def __post_init__(self) -> None:
        for size in ("pool_size", "validation_size", "test_size"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} is {getattr(self, size)}, but every split needs at least one question")
        _generator(self)

    def load(self) -> Splits:
        """The splits; the same for every seed of a cell."""
        rows = _generate(self)
        return Splits(rows["pool"], rows["validation"], TestSplit(rows["test"]))

    def fingerprint(self) -> str:
        """A hash of all generated rows, so that a changed generator makes other cells."""
        return _content_hash(self)

    def solve(self, question: Question) -> tuple[str, str]:
        """The worked solution: (rationale, answer)."""
        return _generator(self).solve(question)

    def solve_wrongly(self, question: Question, generator: random.Random) -> tuple[str, str]:
        """A solution with one wrong step, carried through to a wrong answer."""
        return _generator(self).solve_wrongly(question, generator)

    def check_steps(self, question: Question, rationale: str) -> StepCheck | None:
        """How far the steps of a rationale are right; None where the generator cannot tell."""
        check = getattr(_generator(self), "check_steps", None)
        return None if check is None else cast(StepCheck, check(question, rationale))


def _generator(dataset: GeneratedDataset) -> Generator:
    if not isinstance(dataset.generator, str):
        return dataset.generator
    try:
        return cast(Generator, importlib.import_module(dataset.generator))
    except ImportError as error:
        raise ValueError(f"generator={dataset.generator!r} is not a module that can be imported ({error})") from error


def _name_of(generator: str | Generator) -> str:
    """What the random numbers of a generator hang on; its settings do not count."""
    if isinstance(generator, str):
        return generator
    return f"{type(generator).__module__}.{type(generator).__qualname__}"


@lru_cache(maxsize=16)
def _generate(dataset: GeneratedDataset) -> Mapping[str, tuple[Example, ...]]:
    taken = {dataset.task.show(exemplar.as_question()) for exemplar in dataset.exemplars}
    rows: dict[str, tuple[Example, ...]] = {}
    for split in ("test", "validation", "pool"):
        size = getattr(dataset, f"{split}_size")
        generator = random.Random(stream_seed("generated", _name_of(dataset.generator), dataset.generation_seed, split))
        try:
            made = _generator(dataset).examples(size, generator, taken)
        except ValueError as error:
            raise DataError(f"dataset.{split}_size={size}: {error}") from error
        rows[split] = tuple(replace(row, id=f"{dataset.name}-{split}-{i:05d}") for i, row in enumerate(made))
    return rows


@lru_cache(maxsize=16)
def _content_hash(dataset: GeneratedDataset) -> str:
    return content_hash(*_generate(dataset).values())
