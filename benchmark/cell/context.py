"""What the corridor hands to the parts: seen from one axis, with that axis's random numbers and rights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmark.cell.cell import Cell
from benchmark.contract import Format, Task, TextModel
from benchmark.errors import LeakError
from benchmark.random_streams import stream
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.teachers.prompts import PromptLibrary
from benchmark.types import Example, Json, Question, Request, Round, RoundLog

AXES_WITH_CONTEXT = ("selection", "annotation", "weighting", "curriculum")


@dataclass(frozen=True)
class CellContext:
    """The engine's `Context`. `gold_axes` are the axes whose part declared that it reads gold answers."""

    dataset: Dataset
    format: Format
    student: TextModel
    local_assistant: TextModel | None
    teachers: Sequence[str]
    loss_settings: Mapping[str, float]
    prompts: PromptLibrary
    seed: int
    data_seed: int
    round: Round
    history: Sequence[RoundLog]
    gold_rows: Mapping[str, Example]
    gold_axes: frozenset[str]
    notes: Counter[str] = field(default_factory=Counter)
    axis: str = ""

    @property
    def task(self) -> Task:
        """The family of the dataset."""
        return self.dataset.task

    @property
    def assistant(self) -> TextModel:
        """The assistant. Raises ValueError where this method's parts did not require one."""
        if self.local_assistant is None:
            raise ValueError(
                f"the {self.axis} part used the assistant without declaring it; return Requirements(assistant=True) "
                "from its requires()"
            )
        return self.local_assistant

    def for_axis(self, axis: str) -> CellContext:
        """The same round as the part on one axis may see it."""
        return replace(self, axis=axis)

    def apart(self) -> CellContext:
        """The same, with notes of its own."""
        return replace(self, notes=Counter())

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Json) -> Request:
        """A teacher's prompt for a role, rendered from its template with the variables."""
        return replace(self.prompts.render(role, question, self.dataset, **variables), temperature=temperature)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from (seed, axis, round, key)."""
        return stream("seed", self.seed, self.axis, self.round.index, *key)

    def data_rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from (data_seed, axis, key): the same for all seeds."""
        return stream("data_seed", self.data_seed, self.axis, *key)

    def gold(self, question: Question) -> Example:
        """The example with its gold fields. Raises LeakError unless this axis's part declared it."""
        if self.axis not in self.gold_axes:
            raise LeakError(
                f"the {self.axis} part read the gold answer of {question.id!r} without declaring it; "
                "return Requirements(gold=True) from its requires(), so that tables can show it"
            )
        return self.gold_rows[question.id]

    def note(self, **counts: float) -> None:
        """Adds to the sums that the round's log will show."""
        self.notes.update(counts)


def context_of(
    cell: Cell,
    splits: Splits,
    prompts: PromptLibrary,
    round_: Round,
    student: TextModel,
    assistant: TextModel | None,
    history: Sequence[RoundLog] = (),
    notes: Counter[str] | None = None,
) -> CellContext:
    """A round of the cell, before it is seen from one axis. `assistant` reaches a method that declared it alone."""
    method = cell.method
    return CellContext(
        dataset=cell.dataset,
        format=method.format,
        student=student,
        local_assistant=assistant if method.requires().assistant else None,
        teachers=tuple(cell.teachers),
        loss_settings=method.loss.settings,
        prompts=prompts,
        seed=cell.seed,
        data_seed=cell.data_seed,
        round=round_,
        history=tuple(history),
        gold_rows={row.id: row for row in splits.pool},
        gold_axes=frozenset(axis for axis in AXES_WITH_CONTEXT if getattr(method, axis).requires().gold),
        notes=Counter() if notes is None else notes,
    )
