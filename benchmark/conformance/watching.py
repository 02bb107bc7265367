"""Watchers around the dataset and the teacher of a cell, outside of the engine's own counters.

A mistake in those counters cannot hide itself from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from unittest import mock

from benchmark.cell.context import PartContext
from benchmark.contract import Task
from benchmark.tasks.dataset import Dataset, Exemplar, Splits, TestSplit
from benchmark.teachers.assistants import TextAssistant
from benchmark.teachers.local_model import LocalModel
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price, Teacher
from benchmark.types import Example, PlannedRequest, Reply, Request, Usage

Change = Callable[[int, Example], Example]
"""Makes another row of the row with that number."""


@dataclass
class Watch:
    """What was seen from outside while a cell ran."""

    replies: list[tuple[Request, int]] = field(default_factory=list)
    """(request, number of the sample) of every reply that the teacher gave before the test split was opened."""
    random_purchases: int = 0
    """How often an annotator drew from `data_seed`."""
    state_at_opening: list[tuple[str, int]] = field(default_factory=list)
    """(weights, number of annotations) whenever the test split's seal was broken."""
    state: Callable[[], tuple[str, int]] = lambda: ("", 0)
    """Returns (weights, number of annotations) of this moment."""


class WatchedTestSplit(TestSplit):
    """Tells when its seal is broken."""

    def __init__(self, examples: Sequence[Example], watch: Watch) -> None:
        super().__init__(examples)
        self._watch = watch

    def unseal(self) -> None:
        """As the class above, and notes the state of the cell at this moment."""
        self._watch.state_at_opening.append(self._watch.state())
        super().unseal()


def unchanged(_: int, example: Example) -> Example:
    """The row itself."""
    return example


@dataclass(frozen=True)
class WatchedDataset:
    """A dataset with changed rows and a watched test split; it offers the protocol and none of the dataset's extras.

    The watch and the changes stand in no id: each watched run has a results folder of its own.
    """

    real: Dataset
    """Where the rows come from."""
    watch: Watch = field(metadata={"identity": False})
    """Where the opening of the test split is noted."""
    pool: Change = field(default=unchanged, metadata={"identity": False})
    """Changes the rows of the pool."""
    test: Change = field(default=unchanged, metadata={"identity": False})
    """Changes the rows of the test split."""

    @property
    def name(self) -> str:
        """The real dataset's."""
        return self.real.name

    @property
    def task(self) -> Task:
        """The real dataset's."""
        return self.real.task

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """The real dataset's."""
        return self.real.exemplars

    def load(self) -> Splits:
        """The splits with changed rows."""
        splits = self.real.load()
        splits.test.unseal()  # of this copy, which nobody else sees
        pool = tuple(self.pool(i, row) for i, row in enumerate(splits.pool))
        test = tuple(self.test(i, row) for i, row in enumerate(splits.test.open()))
        return Splits(pool, splits.validation, WatchedTestSplit(test, self.watch))

    def fingerprint(self) -> str:
        """The real dataset's."""
        return self.real.fingerprint()


@dataclass(frozen=True)
class WatchedTeacher:
    """Writes down every reply. It reads the real dataset: what changes for the method, the teacher does not notice."""

    real: Teacher
    """Who answers."""
    dataset: Dataset
    """What the teacher reads."""
    watch: Watch
    """Where replies are noted."""
    stored: ClassVar[bool] = False
    """A reply from the store would be no reply of this cell's."""

    @property
    def name(self) -> str:
        """The real teacher's."""
        return self.real.name

    @property
    def price(self) -> Price:
        """The real teacher's."""
        return self.real.price

    @property
    def roles(self) -> Any:
        """The real teacher's."""
        return self.real.roles

    @property
    def capabilities(self) -> Capabilities:
        """The real teacher's."""
        return self.real.capabilities

    @property
    def concurrency(self) -> int:
        """The real teacher's."""
        return self.real.concurrency

    def open(self, dataset: Dataset) -> OpenTeacher:
        """The real teacher, watched."""
        return WatchedReplies(self.real.open(self.dataset), self.watch)

    def fingerprint(self, dataset: Dataset) -> str:
        """The real teacher's."""
        return self.real.fingerprint(self.dataset)


@dataclass(frozen=True)
class WatchedReplies:
    """An open teacher that notes its replies."""

    real: OpenTeacher
    watch: Watch

    def covers(self, question_id: str) -> bool:
        """As the real teacher."""
        return self.real.covers(question_id)

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """As the real teacher."""
        return self.real.most(request, held_tokens)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """The real teacher's replies; they are noted until the test split is opened."""
        replies = await self.real.reply(request, samples, first)
        if not self.watch.state_at_opening:  # afterwards only its own accuracy is measured
            self.watch.replies += [(request, first + sample) for sample in range(len(replies))]
        return replies


@dataclass(frozen=True)
class UnmovedAssistant:
    """An assistant without weights that reads the real dataset: it stands for a model, and notices no change."""

    real: TextAssistant
    dataset: Dataset

    @property
    def name(self) -> str:
        """The real assistant's."""
        return self.real.name

    @property
    def licence(self) -> str:
        """The real assistant's."""
        return self.real.licence

    @property
    def max_new_tokens(self) -> int:
        """The real assistant's."""
        return self.real.max_new_tokens

    @property
    def roles(self) -> Collection[str]:
        """The real assistant's."""
        return self.real.roles

    def fingerprint(self, dataset: Dataset) -> str:
        """The real assistant's."""
        return self.real.fingerprint(self.dataset)

    def check_assistant(self, dataset: Dataset) -> None:
        """As the real assistant."""
        self.real.check_assistant(self.dataset)

    def assist(self, dataset: Dataset) -> LocalModel:
        """The real assistant's model."""
        return self.real.assist(self.dataset)


@contextmanager
def counting_random_purchases(watch: Watch) -> Iterator[None]:
    """Counts what annotators draw from `data_seed`."""
    real = PartContext.data_rng

    def counted(context: PartContext, *key: str | int) -> Any:
        watch.random_purchases += context.axis == "annotation"
        return real(context, *key)

    with mock.patch.object(PartContext, "data_rng", counted):
        yield
