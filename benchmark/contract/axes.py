"""The contract of a plug-in: the seven parts of a method, and what the engine gives them.

A part is a dataclass that its YAML names by `_target_`. It must not change its fields or keep anything between calls.
Read earlier rounds from `Context.history`. A curriculum keeps values for the next stage in `Stage.memory`, a data
policy keeps its state in `state_dict`, and a loss returns its memory from `RememberingLoss.remembered`. Draw random
numbers from `Context.rng` only; then order, batch size and resume change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from benchmark.contract.language_models import AskModels, TextModel
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
    Weight,
)

if TYPE_CHECKING:
    import numpy as np


NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Requirements:
    """What a part needs; `benchmark.planning.checks` refuses a cell that lacks it, with the reason, before any work."""

    gold: bool = False
    """True if it reads gold answers before training; result tables show that."""
    gold_rationale: bool = False
    """True if it needs human rationales in the dataset."""
    choices: bool = False
    """True if it works for multiple-choice questions only."""
    teacher_roles: frozenset[str] = NOTHING
    """Prompt roles in which it asks teachers."""
    student_roles: frozenset[str] = NOTHING
    """Roles that the format must be able to ask the student."""
    annotation_kinds: frozenset[str] = NOTHING
    """Kinds of annotation that the annotation part must write."""
    teachers: int = 0
    """The least number of different teachers that it needs; 0 if one, or none, is enough."""
    assistant: bool = False
    """True if it uses the assistant, a second local model."""
    assistant_roles: frozenset[str] = NOTHING
    """Prompt roles in which it asks the assistant."""
    assistant_verdicts: bool = False
    """True if it asks the assistant how probable verdicts such as True and False are; a recording does not know."""
    assistant_likelihoods: bool = False
    """True if it asks the assistant how probable any text is; only a model with weights knows."""
    distributions: frozenset[str] = NOTHING
    """Frozen models whose next-token distributions the loss reads: `teacher`, `assistant`."""
    explanations: bool = False
    """True if it asks the student along the format's explanation path; the format must be an `ExplainingFormat`."""
    teacher_probabilities: bool = False
    """True if its requests to teachers have a contrast or continuations, which only models in this process can answer.
    """

    def __or__(self, other: Requirements) -> Requirements:
        return Requirements(
            gold=self.gold or other.gold,
            gold_rationale=self.gold_rationale or other.gold_rationale,
            choices=self.choices or other.choices,
            teacher_roles=self.teacher_roles | other.teacher_roles,
            student_roles=self.student_roles | other.student_roles,
            annotation_kinds=self.annotation_kinds | other.annotation_kinds,
            teachers=max(self.teachers, other.teachers),
            assistant=self.assistant or other.assistant,
            assistant_roles=self.assistant_roles | other.assistant_roles,
            assistant_verdicts=self.assistant_verdicts or other.assistant_verdicts,
            assistant_likelihoods=self.assistant_likelihoods or other.assistant_likelihoods,
            distributions=self.distributions | other.distributions,
            explanations=self.explanations or other.explanations,
            teacher_probabilities=self.teacher_probabilities or other.teacher_probabilities,
        )


class Part(Protocol):
    """What every part of a method has."""

    def requires(self) -> Requirements:
        """What this part needs to run."""
        ...


# --- what the engine gives to the parts ------------------------------------------------------------------------------


class PlanContext(Protocol):
    """What can be known of a question before any model is asked about it."""

    @property
    def round(self) -> Round:
        """The round in which the question is bought; plan for this round alone."""
        ...

    @property
    def task(self) -> Task:
        """The dataset's task: how questions are shown and answers are read."""
        ...

    @property
    def teachers(self) -> Sequence[str]:
        """The teachers' names, for `ask` and for `Annotation.source`."""
        ...

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **variables: Json) -> Request:
        """A teacher's prompt for a role, rendered from its template with the variables."""
        ...

    def data_rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (data_seed, axis, key).

        Draw from it what decides which requests are bought, so that all seeds share the purchases.
        """
        ...

    def gold(self, question: Question) -> Example:
        """The example with its gold fields. Raises LeakError unless this part declares `Requirements.gold`."""
        ...


class DataRng(Protocol):
    """Makes random generators that are the same for all seeds of a cell, one for each key."""

    def __call__(self, *key: str | int) -> np.random.Generator:
        """A new generator; equal keys give equal numbers. Use a question's id, so that order changes nothing."""
        ...


class Context(PlanContext, Protocol):
    """What a part may look at and use during a round."""

    @property
    def history(self) -> Sequence[RoundLog]:
        """The finished rounds."""
        ...

    @property
    def annotations(self) -> Sequence[Annotation]:
        """What the finished rounds bought, with the weights that it has now."""
        ...

    @property
    def format(self) -> Format:
        """The method's format, which makes the student's prompts."""
        ...

    @property
    def student(self) -> TextModel:
        """The student as it is now."""
        ...

    @property
    def assistant(self) -> TextModel:
        """The assistant. Raises ValueError unless a part of the method declares `Requirements.assistant`."""
        ...

    @property
    def loss_settings(self) -> Mapping[str, float]:
        """The settings that a stage may change for this method's loss: name -> default."""
        ...

    def rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (seed, axis, round, key)."""
        ...

    def note(self, **counts: float) -> None:
        """Adds to the round's sums, which `RoundLog.notes` shows later."""
        ...


# --- the axes --------------------------------------------------------------------------------------------------------


@runtime_checkable
class Schedule(Part, Protocol):
    """How the budget is divided into rounds."""

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        """The next round, as a pure function of the finished rounds; None ends the cell."""
        ...


@runtime_checkable
class Selection(Part, Protocol):
    """Which questions are bought."""

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        """The questions worth annotating, best first; `pool` holds the questions that are not annotated yet."""
        ...


@runtime_checkable
class Annotator(Part, Protocol):
    """What teachers, people or the student write about a picked question."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of annotation that it may write."""
        ...

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """All requests to teachers that `annotate` may send for this question in this round, for its worst case.

        Requests that exclude each other say so by their `branch`.
        """
        ...

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """All annotations of the picked question; wrong ones must be kept too, with evidence for the weighting."""
        ...


@runtime_checkable
class Weighting(Part, Protocol):
    """How far each annotation is trusted."""

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """Annotation id -> weight, with its reason and evidence. An id left out keeps its weight."""
        ...


@runtime_checkable
class Format(Part, Protocol):
    """The student's prompts and training targets; nothing else makes student prompts."""

    @property
    def roles(self) -> frozenset[str]:
        """The roles that `request` can make a prompt for."""
        ...

    @property
    def answer_path(self) -> tuple[str, ...]:
        """The roles that are asked one after another for a test answer; each is given the text of the one before."""
        ...

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The student's prompt for a role: the same text in training, in scoring and at test.

        `given` is the text that the student wrote for the role before on the answer path.
        """
        ...

    def read(self, text: str) -> tuple[str, str]:
        """(rationale, answer text) in a text that the student wrote for the last role of the answer path."""
        ...

    def examples(self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng) -> Sequence[TrainingExample]:
        """The training examples; `annotations` are all those with a weight above 0.

        A format that draws, such as one distractor of several, draws from `data_rng`. Build examples with
        `TrainingExample.from_annotation`, which keeps group, weight and origin.
        """
        ...

    def terms(self) -> Mapping[str, Term]:
        """Name -> term of the loss; together they cover the tasks of its examples."""
        ...


@runtime_checkable
class ScorableFormat(Format, Protocol):
    """A format whose targets end in the answer, so that multiple-choice options can be scored in the answer's place."""

    def before_answer(self, text: str) -> str | None:
        """The part of a student's `text` that comes before the answer; None if its replies are only the answer."""
        ...


@runtime_checkable
class ExplainingFormat(Format, Protocol):
    """A format in which the student can be asked to explain, at test or as a selection reflects."""

    @property
    def explanation_path(self) -> tuple[str, ...]:
        """The roles that are asked one after another for an explanation; each is given the text of the one before.

        `read_explanation` finds the explanation in the text for the last role. It may be the answer path.
        """
        ...

    def read_explanation(self, text: str) -> str:
        """The explanation in a text that the student wrote for the last role of the explanation path."""
        ...


@runtime_checkable
class Curriculum(Part, Protocol):
    """The order in which a round trains on its examples."""

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        """The next stage, or None to end training; `context.student` is the student after the stages in `done`."""
        ...


@runtime_checkable
class SettingCurriculum(Curriculum, Protocol):
    """A curriculum whose stages change settings of the loss, and that can say so before training."""

    @property
    def stage_settings(self) -> Mapping[str, tuple[float, ...]]:
        """Setting -> the values between which its stages move it, for the plan; without those that it leaves alone."""
        ...
