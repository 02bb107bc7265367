"""Datasets that a program generates with worked solutions: no download, no licence, and a correct simulated teacher."""

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
from benchmark.tasks.guard import LOADED, refuse_undeclared_gold
from benchmark.tasks.steps import StepCheck
from benchmark.types import Example, Question


@runtime_checkable
class Generator(Protocol):
    """A source of questions: a module such as `benchmark.tasks.chain_sum`, or a component with settings.

    It may also offer three functions more:

    - `argue(question, answer: str) -> str` writes a rationale for a given answer, right or wrong, as `solve` writes
      one; for the right answer it is that of `solve`. It raises ValueError for what cannot be an answer;
    - `check_steps(question, rationale) -> StepCheck` counts right steps of reasoning;
    - `think(question, generator: random.Random) -> str` writes what a model thinks before its reply: a true search with
      dead ends and a check of what it found, on one line. Equal questions and random numbers give equal texts.
    """

    def examples(self, count: int, generator: random.Random, taken: set[str]) -> list[Example]:
        """Draws `count` distinct questions that are not in `taken`, and adds them to `taken`.

        Raises ValueError if fewer are left.
        """
        ...

    def solve(self, question: Question) -> tuple[str, str]:
        """(rationale, answer), computed from the question alone."""
        ...

    def solve_wrongly(self, question: Question, generator: random.Random) -> tuple[str, str]:
        """(rationale, answer) with one wrong step, which leads to a wrong answer."""
        ...


@dataclass(frozen=True)
class GeneratedDataset:
    """Splits drawn from a generator. The test split is drawn first, so it does not depend on the size of the pool."""

    name: str
    """The name in tables."""
    generator: str | Generator
    """The import path of a module, or a component with settings."""
    task: Task
    """How questions are shown and answers read."""
    exemplars: tuple[Exemplar, ...]
    """Worked examples for the teacher's few-shot prompts; no split contains them."""
    pool_size: int
    """Number of questions in the pool."""
    validation_size: int
    """Number of questions in the validation split."""
    test_size: int
    """Number of questions in the test split."""
    generation_seed: int = 0
    """The seed of all questions; it does not depend on the cell's seed."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the data."""

    def __post_init__(self) -> None:
        for size in ("pool_size", "validation_size", "test_size"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} is {getattr(self, size)}, but every split needs at least one question")
        _generator(self)

    def load(self) -> Splits:
        """The splits; the same for every seed of a cell. Raises DataError if the generator has too few questions."""
        refuse_undeclared_gold(LOADED)  # at once, and not where its rows are made, which happens the first time alone
        rows = _generate(self)
        return Splits(rows["pool"], rows["validation"], TestSplit(rows["test"]))

    def fingerprint(self) -> str:
        """A hash of all generated rows: if a generator changes its rows, cells get other ids."""
        return _content_hash(self)

    def solve(self, question: Question) -> tuple[str, str]:
        """(rationale, answer), as worked out. Raises LeakError for a part of a cell that does not declare gold."""
        refuse_undeclared_gold(f"solved a question of {self.name}")
        return _generator(self).solve(question)

    def solve_wrongly(self, question: Question, generator: random.Random) -> tuple[str, str]:
        """(rationale, answer) with one wrong step, which leads to a wrong answer. Raises LeakError as `solve` does."""
        refuse_undeclared_gold(f"had a question of {self.name} solved wrongly")
        return _generator(self).solve_wrongly(question, generator)

    def check_steps(self, question: Question, rationale: str) -> StepCheck | None:
        """Counts the right steps of a rationale; None if the generator has no `check_steps`.

        Raises LeakError as `solve` does.
        """
        refuse_undeclared_gold(f"had the steps of a rationale about {self.name} checked")
        check = getattr(_generator(self), "check_steps", None)
        return None if check is None else cast(StepCheck, check(question, rationale))

    def argue(self, question: Question, answer: str) -> str:
        """A rationale for a given answer, right or wrong, as a generator's `argue` writes it.

        Raises ValueError if the question cannot have this answer, DataError if the generator has no `argue`, and
        LeakError as `solve` does.
        """
        refuse_undeclared_gold(f"had an answer about {self.name} argued for")
        argue = getattr(_generator(self), "argue", None)
        if argue is None:
            raise DataError(
                f"dataset={self.name}: a teacher argues for a given answer, and the generator "
                f"{_name_of(self.generator)} has no argue(question, answer); add that function to it"
            )
        return cast(str, argue(question, answer))

    @property
    def has_traces(self) -> bool:
        """Whether the generator has `think`, so that a simulated teacher can write traces."""
        return hasattr(_generator(self), "think")

    def think(self, question: Question, generator: random.Random) -> str | None:
        """The trace of a search for the answer; None if the generator has no `think`.

        Raises LeakError as `solve` does.
        """
        refuse_undeclared_gold(f"had a question of {self.name} thought through")
        think = getattr(_generator(self), "think", None)
        return None if think is None else cast(str, think(question, generator))


def _generator(dataset: GeneratedDataset) -> Generator:
    if not isinstance(dataset.generator, str):
        return dataset.generator
    try:
        return cast(Generator, importlib.import_module(dataset.generator))
    except ImportError as error:
        raise ValueError(f"generator={dataset.generator!r} is not a module that can be imported ({error})") from error


def _name_of(generator: str | Generator) -> str:
    """The name that seeds a generator's random numbers; its settings do not count."""
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
