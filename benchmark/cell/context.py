"""What a round's parts may see: each gets the view of its own axis, with its own random numbers and access to gold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from benchmark.cell.cell import Cell
from benchmark.contract import Format, Task, TextModel
from benchmark.random_streams import stream
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.tasks.guard import HOW_TO_DECLARE, leak
from benchmark.teachers.prompts import PromptLibrary
from benchmark.types import Annotation, Example, Json, Question, Request, Round, RoundLog

AXES_WITH_CONTEXT = ("selection", "annotation", "weighting", "curriculum")
OF_THE_ENGINE = ("dataset", "gold_rows", "prompts", "splits")
"""What stands beside a part and is not its own: reaching for it fails the cell."""


@dataclass(frozen=True)
class PartContext:
    """The engine's implementation of `Context`: what the part on one axis may see of a round.

    It holds neither the dataset nor gold answers; prompts and declared gold come through functions.
    """

    axis: str
    """The axis of the part that receives this context."""
    task: Task
    """The dataset's task: how questions are shown and answers are read."""
    format: Format
    """The method's format, which makes the student's prompts."""
    student: TextModel
    """The student as it is now."""
    teachers: Sequence[str]
    """The teachers' names."""
    loss_settings: Mapping[str, float]
    """The settings that a stage may change for the loss: name -> default."""
    round: Round
    """The current round."""
    history: Sequence[RoundLog]
    """The finished rounds."""
    annotations: Sequence[Annotation]
    """What the finished rounds bought, with the weights that it has now."""
    notes: Counter[str]
    """Name -> sum of what parts counted with `note`."""
    _seeds: tuple[int, int]
    """(seed, data_seed) of the cell."""
    _assistant: TextModel | None
    """The assistant; None if no part declared it."""
    _render: Callable[[str, Question, Mapping[str, Json]], Request]
    """(role, question, variables) -> prompt for a teacher."""
    _gold: Callable[[Question], Example]
    """The gold fields of a question of the pool; raises LeakError if this axis's part did not declare gold."""

    @property
    def assistant(self) -> TextModel:
        """The assistant. Raises ValueError unless a part of the method declares `Requirements.assistant`."""
        if self._assistant is None:
            raise ValueError(
                f"the {self.axis} part used the assistant without declaring it; return Requirements(assistant=True) "
                "from its requires()"
            )
        return self._assistant

    def apart(self) -> PartContext:
        """A copy of the context with separate, empty notes."""
        return replace(self, notes=Counter())

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Json) -> Request:
        """A teacher's prompt for a role, rendered from its template with the variables."""
        return replace(self._render(role, question, variables), temperature=temperature)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (seed, axis, round, key)."""
        return stream("seed", self._seeds[0], self.axis, self.round.index, *key)

    def data_rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (data_seed, axis, key), the same for all seeds."""
        return stream("data_seed", self._seeds[1], self.axis, *key)

    def gold(self, question: Question) -> Example:
        """The example with its gold fields. Raises LeakError unless this axis's part declares `Requirements.gold`."""
        return self._gold(question)

    def note(self, **counts: float) -> None:
        """Adds to the round's sums, which `RoundLog.notes` shows later."""
        self.notes.update(counts)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Python calls it for names that the context does not have; what the engine keeps from parts is a leak."""
            if name in OF_THE_ENGINE:
                raise leak(f"the {self.axis} part reached for context.{name}, which no part sees; {HOW_TO_DECLARE}")
            known = "`Context` in benchmark/contract/axes.py lists what it has"
            raise AttributeError(f"the context of the {self.axis} part has no {name!r}; {known}")


@dataclass(frozen=True)
class CellContext:
    """What the engine knows of a round; a part sees the `PartContext` of its axis."""

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
    annotations: Sequence[Annotation] = ()
    """What the finished rounds bought, with the weights that it has now."""

    def for_axis(self, axis: str) -> PartContext:
        """What the part on `axis` may see."""

        def render(role: str, question: Question, variables: Mapping[str, Json]) -> Request:
            return self.prompts.render(role, question, self.dataset, **variables)

        def gold(question: Question) -> Example:
            if axis not in self.gold_axes:
                did = f"the {axis} part read the gold answer of {question.id!r} without declaring it"
                raise leak(f"{did}; {HOW_TO_DECLARE}")
            return self.gold_rows[question.id]

        return PartContext(
            axis=axis,
            task=self.dataset.task,
            format=self.format,
            student=self.student,
            teachers=self.teachers,
            loss_settings=self.loss_settings,
            round=self.round,
            history=self.history,
            annotations=self.annotations,
            notes=self.notes,
            _seeds=(self.seed, self.data_seed),
            _assistant=self.local_assistant,
            _render=render,
            _gold=gold,
        )


def context_of(
    cell: Cell,
    splits: Splits,
    prompts: PromptLibrary,
    round_: Round,
    student: TextModel,
    assistant: TextModel | None,
    history: Sequence[RoundLog] = (),
    notes: Counter[str] | None = None,
    annotations: Sequence[Annotation] = (),
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
        annotations: What the finished rounds bought.
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
        annotations=tuple(annotations),
    )
