"""What a dataset gives to a cell: a pool, a validation split, and a test split that stays shut until the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from benchmark.contract import Task
from benchmark.errors import DataError, LeakError
from benchmark.types import Example, Question


@runtime_checkable
class GradedTask(Task, Protocol):
    """A task whose answers are more or less good. Its metric takes the place of accuracy in validation and records."""

    metric: str

    def grade(self, example: Example, answer: str | None) -> float:
        """How good a parsed answer is, in [0, 1]; None is worth nothing."""
        ...


@dataclass(frozen=True)
class Exemplar:
    """A worked example for few-shot prompts; it occurs in no split."""

    question: str
    rationale: str
    answer: str
    choices: tuple[str, ...] | None = None

    def as_question(self) -> Question:
        """The exemplar's question in the form that `Task.show` takes."""
        return Question("exemplar", self.question, self.choices)


class TestSplit:
    """Test examples behind a seal that only the end of the corridor breaks."""

    __test__ = False  # not a test class, whatever its name makes pytest believe

    def __init__(self, examples: Iterable[Example]) -> None:
        self._examples = tuple(examples)
        self._sealed = True

    def __len__(self) -> int:
        return len(self._examples)

    def unseal(self) -> None:
        """Breaks the seal: called once, when no decision is left to take."""
        self._sealed = False

    def open(self) -> tuple[Example, ...]:
        """The examples. Raises LeakError while the seal holds."""
        if self._sealed:
            raise LeakError(
                "the test split was read before the student was final; selection, curriculum, thresholds and model "
                "choice may use the pool and the validation split only"
            )
        return self._examples

    def count(self, holds: Callable[[Sequence[Question]], Sequence[bool]]) -> int:
        """How many test questions fulfil a condition, such as not fitting the student's window; gold stays hidden."""
        return sum(holds([example.without_gold() for example in self._examples]))


@dataclass(frozen=True)
class Splits:
    """The three splits of one cell; no question occurs in two of them.

    `left_out` counts rows of pool and validation that were not taken because they belong with rows of another split.
    """

    pool: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: TestSplit
    left_out: int = 0


@runtime_checkable
class Dataset(Protocol):
    """What `conf/dataset/*.yaml` names."""

    name: str
    task: Task
    exemplars: tuple[Exemplar, ...]

    def load(self) -> Splits:
        """The splits, test sealed. Raises DataError where they cannot be made."""
        ...

    def fingerprint(self) -> str:
        """A hash of the content of all rows and splits, whatever the folder they lie in."""
        ...


def folded(text: str) -> str:
    """The text for comparison: white space and letter case make no other question."""
    return " ".join(text.split()).casefold()


def refuse_unreadable_gold(where: str, task: Task, example: Example) -> None:
    """Raises DataError for a gold answer that the task cannot read: no student could ever be right."""
    if not task.is_correct(example, task.parse(example.without_gold(), example.answer)):
        raise DataError(
            f"{where}: the gold answer {example.answer!r} of {example.id!r} is none that task {task.name} can read"
        )


def content_hash(*splits: Sequence[Example]) -> str:
    """A hash of the rows of all splits, in order."""
    digest = hashlib.sha256()
    for rows in splits:
        digest.update(json.dumps([asdict(row) for row in rows], sort_keys=True).encode())
    return digest.hexdigest()
