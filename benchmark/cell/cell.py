"""One cell: a method, a dataset, a teacher, a student, a budget and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark.contract import Method
from benchmark.evaluation.settings import EvaluationSettings
from benchmark.records.loggers import CellLogger
from benchmark.student.frozen import NoAssistant, PretrainedAssistant
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import StudentSource
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.ledger import Budget
from benchmark.teachers.panel import Panel, members
from benchmark.teachers.teacher import Teacher


@dataclass(frozen=True)
class Cell:
    """Everything that one run needs, built and checked. `config` is the resolved config as plain data.

    `extra_datasets` are those that `evaluation.extra` names; nothing but their test splits is used.
    """

    method: Method
    mode: Literal["run", "annotate", "plan"]
    dataset: Dataset
    teacher: Teacher | Panel
    assistant: NoAssistant | PretrainedAssistant
    student: StudentSource
    budget: Budget
    optimization: Optimization
    trainer: TrainerSettings
    evaluation: EvaluationSettings
    extra_datasets: tuple[Dataset, ...]
    logger: CellLogger
    seed: int
    data_seed: int
    pool: Literal["all", "covered"]
    results_dir: str
    store_path: str | None
    references: bool
    config: Mapping[str, Any]

    @property
    def asks_teacher(self) -> bool:
        """Whether the teacher can change a number of this cell."""
        needs = self.method.requires()
        reads = bool(needs.teacher_roles) or "teacher" in needs.distributions
        return reads or (self.method.trains() and self.pool == "covered")

    @property
    def needs_store(self) -> bool:
        """Whether the cell asks a teacher whose replies are kept."""
        return any(teacher.stored for teacher in self.asked_teachers.values())

    @property
    def store(self) -> Path:
        """The file that keeps what teachers said, for all cells that name it."""
        return Path(self.results_dir) / "teacher_store.sqlite" if self.store_path is None else Path(self.store_path)

    @property
    def uses_assistant(self) -> bool:
        """Whether the assistant can change a number of this cell."""
        needs = self.method.requires()
        return needs.assistant or "assistant" in needs.distributions

    @property
    def used_assistant(self) -> PretrainedAssistant | None:
        """The assistant where this cell uses one; None also where it needs one and has none, which the plan refuses."""
        return None if isinstance(self.assistant, NoAssistant) or not self.uses_assistant else self.assistant

    @property
    def longest_local_reply(self) -> int:
        """The most tokens that student or assistant write at once."""
        return max(model.max_new_tokens for model in (self.student, self.used_assistant) if model is not None)

    @property
    def teachers(self) -> Mapping[str, Teacher]:
        """The teachers by name; more than one only in a panel."""
        return members(self.teacher)

    @property
    def asked_teachers(self) -> Mapping[str, Teacher]:
        """The teachers where this cell asks them, else none."""
        return self.teachers if self.asks_teacher else {}

    @property
    def model_paths(self) -> dict[str, str | None]:
        """Where the models come from that this cell uses, by slot: folders, hub ids, or None for those made here."""
        used: dict[str, Any] = {"student": self.student}
        if self.uses_assistant:
            used["assistant"] = self.assistant
        used |= {f"teacher {name}": teacher for name, teacher in self.asked_teachers.items()}
        return {slot: getattr(model, "path", None) for slot, model in used.items()}

    def describe(self) -> str:
        """The cell in a few words, for people."""
        return f"{self.method.name} on {self.dataset.name}, student {self.student.name}, seed {self.seed}"
