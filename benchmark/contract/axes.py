"""What a plug-in must be: seven parts that make a method, and what the corridor hands them.

A part is a frozen-in-spirit dataclass named by `_target_` in its YAML. It keeps nothing between calls: what a round
leaves behind is in `Context.history`, what a stage leaves behind in `Stage.memory`, and what a data policy must
remember in its `state_dict`. Draw random numbers from `Context.rng` alone, so that order, batch size and resume change
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from benchmark.contract.language_models import AskModels, FrozenModel, StepModel, TextModel
from benchmark.contract.task import Task
from benchmark.types import (
    Annotation,
    Example,
    Json,
    Pick,
    PlannedRequest,
    Question,
    Request,
    Round,
    RoundLog,
    Stage,
    Term,
    TrainingExample,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.student.batch import MicroBatch

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Requirements:
    """What a part cannot work without; the plan matches it before any work and refuses with the reason."""

    gold: bool = False
    """Reads gold answers before training; tables show it."""
    gold_rationale: bool = False
    """Needs human rationales in the dataset."""
    choices: bool = False
    """Works for multiple-choice questions only."""
    teacher_roles: frozenset[str] = NOTHING
    """Prompt roles that it asks the teacher."""
    student_roles: frozenset[str] = NOTHING
    """Roles that the format must be able to ask the student."""
    annotation_kinds: frozenset[str] = NOTHING
    """Kinds of annotation that the annotation part must write."""
    teachers: int = 0
    """How many different teachers it asks, where one is not enough."""
    assistant: bool = False
    """Uses the assistant, a local model beside the student."""
    assistant_roles: frozenset[str] = NOTHING
    """Prompt templates that it renders for the assistant."""
    distributions: frozenset[str] = NOTHING
    """Frozen models whose next-token distributions the loss reads: `teacher`, `assistant`."""
    teacher_probabilities: bool = False
    """Asks its teachers with a contrast or for continuations, which takes models in this process."""

    def __or__(self, other: Requirements) -> Requirements:
        return Requirements(
            self.gold or other.gold,
            self.gold_rationale or other.gold_rationale,
            self.choices or other.choices,
            self.teacher_roles | other.teacher_roles,
            self.student_roles | other.student_roles,
            self.annotation_kinds | other.annotation_kinds,
            max(self.teachers, other.teachers),
            self.assistant or other.assistant,
            self.assistant_roles | other.assistant_roles,
            self.distributions | other.distributions,
            self.teacher_probabilities or other.teacher_probabilities,
        )


class Part(Protocol):
    """Every plug-in says what it needs."""

    def requires(self) -> Requirements:
        """What must be there before this part may run."""
        ...


# --- what the corridor hands to the parts ----------------------------------------------------------------------------


class PlanContext(Protocol):
    """What can be known of a question before any model is asked about it."""

    @property
    def task(self) -> Task:
        """The family of the dataset."""
        ...

    @property
    def teachers(self) -> Sequence[str]:
        """The teachers' names, which their annotations carry as source."""
        ...

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Json) -> Request:
        """A teacher's prompt for a role, rendered from its template with the variables."""
        ...

    def data_rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from (data_seed, key): for what is bought, so that all seeds share the purchases."""
        ...

    def gold(self, question: Question) -> Example:
        """The example with its gold fields. Raises LeakError unless a part of this method requires gold."""
        ...


class Context(PlanContext, Protocol):
    """What a part may look at and use during a round."""

    @property
    def round(self) -> Round:
        """The round that is running."""
        ...

    @property
    def history(self) -> Sequence[RoundLog]:
        """The rounds that are finished."""
        ...

    @property
    def format(self) -> Format:
        """The method's format, which makes the student's prompts."""
        ...

    @property
    def student(self) -> TextModel:
        """The student of this moment."""
        ...

    @property
    def assistant(self) -> TextModel:
        """The assistant. Raises ValueError where this method's parts did not require one."""
        ...

    @property
    def loss_settings(self) -> Mapping[str, float]:
        """What a stage may set for this method's loss, with the defaults."""
        ...

    def rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from (seed, axis, round, key)."""
        ...

    def note(self, **counts: float) -> None:
        """Adds to the sums that `RoundLog.notes` will show."""
        ...


# --- the axes --------------------------------------------------------------------------------------------------------


@runtime_checkable
class Schedule(Part, Protocol):
    """Into which rounds the budget is cut."""

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """The round to run now, a pure function of the rounds so far; None ends the corridor."""
        ...


@runtime_checkable
class Selection(Part, Protocol):
    """Which questions the budget goes to."""

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """The questions worth annotating, best first; `pool` holds those not yet annotated."""
        ...


@runtime_checkable
class Annotator(Part, Protocol):
    """What is written about a picked question, by teachers, people or the student."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of annotation that it may write."""
        ...

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """The most that this question can cost the teachers, request by request."""
        ...

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """All annotations of the picked question. Drops nothing: what looks wrong stays, with its evidence."""
        ...


@runtime_checkable
class Weighting(Part, Protocol):
    """How far each annotation is trusted."""

    def weigh(
        self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context
    ) -> Mapping[str, tuple[float, str]]:
        """Annotation id -> (weight in [0, 1], reason). Ids left out keep theirs; 0 drops the annotation, still paid."""
        ...


@runtime_checkable
class Format(Part, Protocol):
    """What the student is asked and what it learns to write: the only maker of student prompts."""

    @property
    def roles(self) -> frozenset[str]:
        """The roles that `ask` can make a prompt for."""
        ...

    @property
    def answer_path(self) -> tuple[str, ...]:
        """The roles asked one after the other to get an answer at test, each given the text of the one before."""
        ...

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The student's prompt for a role; the same text in training, in scoring and at test."""
        ...

    def read(self, text: str) -> tuple[str, str]:
        """(rationale, answer text) of what a student wrote for the last role of the answer path."""
        ...

    def examples(self, annotations: Sequence[Annotation], task: Task) -> Sequence[TrainingExample]:
        """Training examples from all annotations of non-zero weight."""
        ...

    def terms(self) -> Mapping[str, Term]:
        """The weighted terms that its tasks belong to."""
        ...


@runtime_checkable
class ScorableFormat(Format, Protocol):
    """A format whose targets on the answer path end in the answer, so that options can be scored in its place."""

    def before_answer(self, text: str) -> str | None:
        """What stands before the answer where a student has written `text`; None where a reply is the answer alone."""
        ...


@runtime_checkable
class Curriculum(Part, Protocol):
    """When the student sees what."""

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        """The next stretch of training, None to end it; `context.student` is as the done stages left it."""
        ...


class StepState(Protocol):
    """What a loss and its data policy may know of the step they are in."""

    @property
    def step(self) -> int:
        """Optimiser steps done in this fit."""
        ...

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole fit."""
        ...

    @property
    def settings(self) -> Mapping[str, float]:
        """What the stage set, over the loss's own defaults."""
        ...

    @property
    def student(self) -> TextModel:
        """The student of this moment, as text."""
        ...

    @property
    def frozen(self) -> Mapping[str, FrozenModel]:
        """The models that the method required in `Requirements.distributions`, by those names."""
        ...

    def rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from (seed, axis, round, key), equal on all ranks."""
        ...


class DataPolicy(Protocol):
    """Where the batches come from: the drawn examples themselves, the student's own text, a replay buffer.

    The only part with a state of its own, in fields marked `init=False` and `metadata={"identity": False}`. It begins
    anew with every fresh student, and lives on where a round goes on.
    """

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """The examples of one or more optimiser steps, all made before the first of them is taken."""
        ...

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Told `accuracy` (or the task's metric) before step 1 and every `optimization.validation_every_n_steps`."""
        ...

    def state_dict(self) -> dict[str, Json]:
        """What it must remember, as plain JSON values, to go on exactly after an interruption."""
        ...

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Takes back what `state_dict` gave."""
        ...


@runtime_checkable
class Loss(Part, Protocol):
    """How the student is compared with the target or with a teacher's distribution."""

    @property
    def data_policy(self) -> DataPolicy:
        """Where the batches come from."""
        ...

    @property
    def settings(self) -> Mapping[str, float]:
        """What a stage may set, with the defaults."""
        ...

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The terms of this loss, from those of the format."""
        ...

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Per term the scalar `sum(batch.scale[term] * value)`; the scale holds coefficient, weights, denominator."""
        ...


@dataclass(frozen=True)
class Method:
    """A named combination of the axes. `name` is the preset's, followed by every choice that leaves it."""

    name: str
    schedule: Schedule
    selection: Selection
    annotation: Annotator
    weighting: Weighting
    curriculum: Curriculum
    format: Format
    loss: Loss

    def trains(self) -> bool:
        """Whether there is any round at all; without one, only format, dataset and student can change a number."""
        return self.schedule.next_round(()) is not None

    @property
    def parts(self) -> tuple[Part, ...]:
        """All seven, in the order in which the corridor meets them."""
        return (
            self.schedule,
            self.selection,
            self.annotation,
            self.weighting,
            self.curriculum,
            self.format,
            self.loss,
        )

    def requires(self) -> Requirements:
        """The union of what its parts require, as far as they will be used."""
        needs = Requirements()
        for part in self.parts if self.trains() else (self.format,):
            needs = needs | part.requires()
        return needs
