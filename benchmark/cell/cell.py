"""One cell: a method, a dataset, a teacher, a student, a budget and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from benchmark.cell.precision import PrecisionChoice
from benchmark.contract import Method, Requirements
from benchmark.evaluation.settings import EvaluationSettings
from benchmark.records.loggers import CellLogger
from benchmark.student.frozen import (
    NoAssistant,
    NoDistributionTeacher,
    PretrainedAssistant,
    PretrainedDistributionTeacher,
)
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import StudentSource
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.assistants import RecordedAssistant, SimulatedAssistant
from benchmark.teachers.ledger import Budget
from benchmark.teachers.panel import Panel, members
from benchmark.teachers.teacher import Teacher

UsableAssistant = PretrainedAssistant | SimulatedAssistant | RecordedAssistant

STARTS_FROM = "cell:"
"""What a model's path begins with in place of a folder, before the name of a prerequisite."""


@dataclass(frozen=True)
class StartingCell:
    """A prerequisite that a cell names: the exported student of this other cell is a model of it."""

    name: str
    """Its key in `prerequisites`."""
    settings: tuple[str, ...]
    """The settings that name it, such as `student.path`."""
    cell: Cell
    """The prerequisite itself, read and not checked yet."""
    cell_id: str
    """Its id; empty where only a download could tell it."""
    folder: str
    """Where its student is, or will be."""
    overrides: tuple[str, ...]
    """What makes it from the root config."""
    command: str
    """The command that makes it."""

    def is_there(self) -> bool:
        """Whether its student was exported."""
        return Path(self.folder).is_dir()


@dataclass(frozen=True)
class Cell:
    """Everything that one run needs, built and checked."""

    method: Method
    mode: Literal["run", "annotate", "plan"]
    """`run` trains and tests; `annotate` buys annotations ahead of training; `plan` shows what a run would do."""
    dataset: Dataset
    teacher: Teacher | Panel
    """Writes the texts; the loss reads its distributions too, unless there is a `distribution_teacher`."""
    distribution_teacher: NoDistributionTeacher | PretrainedDistributionTeacher
    """A model of its own whose distributions the loss reads."""
    assistant: NoAssistant | UsableAssistant
    student: StudentSource
    budget: Budget
    optimization: Optimization
    trainer: TrainerSettings
    evaluation: EvaluationSettings
    extra_datasets: tuple[Dataset, ...]
    """The datasets of `evaluation.extra`; only their test splits are used."""
    logger: CellLogger
    seed: int
    """Seed of the initial student, the order of batches and the parts' `Context.rng`."""
    data_seed: int
    """Seed of choices of what to buy (`PlanContext.data_rng`), shared by all seeds."""
    pool: Literal["all", "covered"]
    """`all`: the whole pool; `covered`: only the questions that all asked teachers cover."""
    results_dir: str
    store_path: str | None
    """File of the teacher store; None: `teacher_store.sqlite` in `results_dir`."""
    references: bool
    """Whether a sweep also runs the untrained student."""
    config: Mapping[str, Any]
    """The resolved config as plain data, with every precision as it was asked for."""
    precisions: tuple[PrecisionChoice, ...]
    """What each setting of a precision asked for, and what it became."""
    starts_from: tuple[StartingCell, ...] = ()
    """The prerequisites that models of the config name by `path=cell:NAME`."""

    @cached_property
    def needs(self) -> Requirements:
        """What all parts of the method together require, derived once."""
        return self.method.requires()

    @property
    def used_prerequisites(self) -> tuple[StartingCell, ...]:
        """The prerequisites whose students can change a result of this cell."""
        used = set(self.model_paths.values())
        return tuple(each for each in self.starts_from if each.folder in used)

    @property
    def missing_prerequisites(self) -> tuple[StartingCell, ...]:
        """The used prerequisites whose students are not on the disk."""
        return tuple(each for each in self.used_prerequisites if not each.is_there())

    @property
    def asks_teacher(self) -> bool:
        """Whether the teacher can change a result of this cell."""
        needs = self.needs
        shows = self.reads_teacher and self.own_distribution_teacher is None
        return bool(needs.teacher_roles) or shows or (self.method.trains() and self.pool == "covered")

    @property
    def reads_teacher(self) -> bool:
        """Whether the loss compares the student with the distributions of a teacher."""
        return "teacher" in self.needs.distributions

    @property
    def own_distribution_teacher(self) -> PretrainedDistributionTeacher | None:
        """The model of `distribution_teacher` if the cell has one and its loss reads it; otherwise None."""
        slot = self.distribution_teacher
        return None if isinstance(slot, NoDistributionTeacher) or not self.reads_teacher else slot

    @property
    def needs_store(self) -> bool:
        """Whether the cell asks a teacher whose replies are kept in the teacher store."""
        return any(teacher.stored for teacher in self.asked_teachers.values())

    @property
    def store(self) -> Path:
        """Path of the teacher store; cells with the same path share its replies."""
        return Path(self.results_dir) / "teacher_store.sqlite" if self.store_path is None else Path(self.store_path)

    @property
    def uses_assistant(self) -> bool:
        """Whether the assistant can change a result of this cell."""
        needs = self.needs
        return needs.assistant or "assistant" in needs.distributions

    @property
    def used_assistant(self) -> UsableAssistant | None:
        """The assistant if this cell uses it, else None.

        None also if the cell needs an assistant but has none; `benchmark.planning.checks` refuses such a cell.
        """
        return None if isinstance(self.assistant, NoAssistant) or not self.uses_assistant else self.assistant

    @property
    def longest_local_reply(self) -> int:
        """The most tokens of one reply by the student or the assistant."""
        return max(model.max_new_tokens for model in (self.student, self.used_assistant) if model is not None)

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        """Name -> teacher; more than one only in a panel."""
        return members(self.teacher)

    @property
    def asked_teachers(self) -> Mapping[str, Teacher]:
        """Name -> teacher, if the cell asks its teachers; otherwise empty."""
        return self.teachers if self.asks_teacher else {}

    @property
    def model_paths(self) -> dict[str, str | None]:
        """Slot -> folder or hub id of the model; None if it has none.

        Slots are `student`, `distribution_teacher`, `assistant` and `teacher NAME`.
        """
        used: dict[str, Any] = {"student": self.student}
        if self.own_distribution_teacher is not None:
            used["distribution_teacher"] = self.own_distribution_teacher
        if self.uses_assistant:
            used["assistant"] = self.assistant
        used |= {f"teacher {name}": teacher for name, teacher in self.asked_teachers.items()}
        return {slot: getattr(model, "path", None) for slot, model in used.items()}

    def describe(self) -> str:
        """The cell in one line, for people."""
        return f"{self.method.name} on {self.dataset.name}, student {self.student.name}, seed {self.seed}"
