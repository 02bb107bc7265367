"""The context that a part receives, with the random numbers and the access to gold answers of the part's axis."""

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
    """The engine's implementation of `Context`."""

    dataset: Dataset
    format: Format
    student: TextModel
    local_assistant: TextModel | None
    """The assistant; None if no part declared it."""
    teachers: Sequence[str]
    """The teachers' names."""
    loss_settings: Mapping[str, float]
    """The settings that a stage may change for the loss: name -> default."""
    prompts: PromptLibrary
    seed: int
    data_seed: int
    round: Round
    history: Sequence[RoundLog]
    """The finished rounds."""
    gold_rows: Mapping[str, Example]
    """Question id -> example with gold fields, for the pool."""
    gold_axes: frozenset[str]
    """The axes whose part declared that it reads gold answers."""
    notes: Counter[str] = field(default_factory=Counter)
    """Name -> sum of what parts counted with `note`."""
    axis: str = ""
    """The axis of the part that receives this context."""

    @property
    def task(self) -> Task:
        """The dataset's task: how questions are shown and answers are read."""
        return self.dataset.task

    @property
    def assistant(self) -> TextModel:
        """The assistant. Raises ValueError unless a part of the method declares `Requirements.assistant`."""
        if self.local_assistant is None:
            raise ValueError(
                f"the {self.axis} part used the assistant without declaring it; return Requirements(assistant=True) "
                "from its requires()"
            )
        return self.local_assistant

    def for_axis(self, axis: str) -> CellContext:
        """A copy of the context for the part on `axis`."""
        return replace(self, axis=axis)

    def apart(self) -> CellContext:
        """A copy of the context with separate, empty notes."""
        return replace(self, notes=Counter())

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Json) -> Request:
        """A teacher's prompt for a role, rendered from its template with the variables."""
        return replace(self.prompts.render(role, question, self.dataset, **variables), temperature=temperature)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (seed, axis, round, key)."""
        return stream("seed", self.seed, self.axis, self.round.index, *key)

    def data_rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (data_seed, axis, key), the same for all seeds."""
        return stream("data_seed", self.data_seed, self.axis, *key)

    def gold(self, question: Question) -> Example:
        """The example with its gold fields. Raises LeakError unless this axis's part declares `Requirements.gold`."""
        if self.axis not in self.gold_axes:
            raise LeakError(
                f"the {self.axis} part read the gold answer of {question.id!r} without declaring it; "
                "return Requirements(gold=True) from its requires(), so that tables can show it"
            )
        return self.gold_rows[question.id]

    def note(self, **counts: float) -> None:
        """Adds to the round's sums, which `RoundLog.notes` shows later."""
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
    """The context of a round; call `for_axis` before a part receives it.

    Args:
        cell: The cell that runs.
        splits: Its questions; only the pool can be seen with gold answers.
        prompts: The templates of the teacher's prompts.
        round_: The round that begins.
        student: The student of this moment, as text.
        assistant: The assistant; left out unless the method declared that it uses one.
        history: The finished rounds.
        notes: The sums to which `Context.note` adds; new ones by default.
    """
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
