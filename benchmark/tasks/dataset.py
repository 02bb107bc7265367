"""What a dataset gives to a cell: a pool, a validation split, and a test split that stays sealed until the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from benchmark.contract import Task
from benchmark.errors import DataError, LeakError
from benchmark.tasks.guard import LOADED, refuse_test, refuse_undeclared_gold
from benchmark.tasks.overlap import Overlap, overlap_of
from benchmark.tasks.shortened import shortened
from benchmark.types import Example, Question


@runtime_checkable
class GradedTask(Protocol):
    """A `Task` that grades answers in [0, 1]. Its metric replaces accuracy in validation and records.

    It names these two alone, so that no other member that a task lacks makes its own metric be passed over.
    """

    metric: str
    """The metric's name in records."""

    def grade(self, example: Example, answer: str | None) -> float:
        """The grade of a parsed answer, in [0, 1]; 0 for None."""
        ...


@dataclass(frozen=True)
class Exemplar:
    """A worked example for few-shot prompts; it occurs in no split."""

    question: str
    """The text of the question."""
    rationale: str
    """The reasoning that leads to the answer."""
    answer: str
    """The gold answer; one of `choices` if there are choices."""
    choices: tuple[str, ...] | None = None
    """The options of a multiple-choice question; None for other tasks."""

    def as_question(self) -> Question:
        """The exemplar's question in the form that `Task.show` takes."""
        return Question("exemplar", self.question, self.choices)


class TestSplit:
    """Test examples that cannot be read before `unseal`; only the end of the corridor calls it."""

    __test__ = False  # not a test class, whatever its name makes pytest believe

    def __init__(self, examples: Iterable[Example]) -> None:
        self._examples = tuple(examples)
        self._sealed = True

    def __len__(self) -> int:
        return len(self._examples)

    def unseal(self) -> None:
        """Allows `open`. Called once, when every decision about the student has been made.

        Raises LeakError the second time, and while a part of a cell runs.
        """
        refuse_test("broke the seal of a test split")
        if not self._sealed:
            raise LeakError("the seal of a test split was broken twice; load the dataset again for another copy")
        self._sealed = False

    def open(self) -> tuple[Example, ...]:
        """The examples. Raises LeakError before `unseal`, and while a part of a cell runs."""
        refuse_test("opened a test split")
        if self._sealed:
            raise LeakError(
                "the test split was read before the student was final; selection, curriculum, thresholds and model "
                "choice may use the pool and the validation split only"
            )
        return self._examples

    def count(self, holds: Callable[[Sequence[Question]], Sequence[bool]]) -> int:
        """How many test questions meet a condition, such as not fitting the student's window.

        `holds` gets the questions without gold fields and returns True or False for each. Raises LeakError while a part
        of a cell runs.
        """
        refuse_test("looked at the questions of a test split")
        return sum(holds([example.without_gold() for example in self._examples]))

    def overlap(self, questions: Iterable[Question], texts: Iterable[str] = ()) -> Overlap:
        """How many test questions occur among questions and texts: numbers only, so that the seal may stay on.

        Raises LeakError while a part of a cell runs.
        """
        refuse_test("searched for the questions of a test split")
        return overlap_of([example.without_gold() for example in self._examples], questions, texts)


@dataclass(frozen=True)
class Splits:
    """The three splits of one cell; no question occurs in two of them.

    Raises LeakError where a part of a cell that does not declare gold makes them, as it would by loading a dataset.
    """

    pool: tuple[Example, ...]
    """The examples that a method may select and train on."""
    validation: tuple[Example, ...]
    """The examples for choices during training."""
    test: TestSplit
    """The sealed examples for the final result."""
    left_out: int = 0
    """How many rows of pool and validation were left out, because their group has rows in another split."""

    def __post_init__(self) -> None:
        refuse_undeclared_gold(LOADED)


@runtime_checkable
class Dataset(Protocol):
    """A dataset, as the options in `conf/dataset` define it."""

    name: str
    """The name in tables."""
    task: Task
    """How questions are shown and answers read."""
    exemplars: tuple[Exemplar, ...]
    """Worked examples for the teacher's few-shot prompts."""

    def load(self) -> Splits:
        """The splits, with the test split sealed. Raises DataError if they cannot be made."""
        ...

    def fingerprint(self) -> str:
        """A hash of the rows of all splits; it does not depend on the folder of the files."""
        ...


def tested_examples(dataset: Dataset, ids: Sequence[str], cell: object) -> list[Example]:
    """The test examples with these ids, in their order, for a cell that is finished; `cell` names it in an error.

    Raises DataError if the dataset has lost one of them.
    """
    test = dataset.load().test
    test.unseal()
    rows = {row.id: row for row in test.open()}
    for each in ids:
        if each not in rows:
            raise DataError(f"{cell}: {dataset.name} no longer has the test question {each!r}")
    return [rows[each] for each in ids]


def folded(text: str) -> str:
    """The text for comparison, in lower case and with single spaces between words."""
    return " ".join(text.split()).casefold()


def refuse_unreadable_gold(where: str, task: Task, example: Example) -> None:
    """Raises DataError if the task cannot read the gold answer, because then no student could ever be right."""
    if not task.is_correct(example, task.parse(example.without_gold(), example.answer)):
        gold = f"the gold answer {shortened(example.answer)} of {example.id!r}"
        raise DataError(f"{where}: task {task.name} cannot read {gold}; docs/answer-extraction.md says what it reads")


def content_hash(*splits: Sequence[Example]) -> str:
    """The SHA-256 hash of the rows of all splits, in order, as hexadecimal text."""
    digest = hashlib.sha256()
    for rows in splits:
        digest.update(json.dumps([asdict(row) for row in rows], sort_keys=True).encode())
    return digest.hexdigest()
