"""White-box distillation from a teacher that runs beside the student: forward KL to its distributions, and the target.

`L = (1 - k) * CE(target) + k * tau^2 * KL(teacher_tau || student_tau)`, on every term of the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmark.axes.loss import CrossEntropy, FixedData
from benchmark.contract import DataPolicy, Requirements, StepModel, StepState
from benchmark.types import Term

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

SOFT = "/kd"
"""Ends the name of the term that compares with the teacher."""


@dataclass(frozen=True)
class LiveTeacher:
    """Knows the settings `temperature` and `distillation_weight`, so that a curriculum may move them."""

    temperature: float = 1.0
    distillation_weight: float = 0.5
    data_policy: DataPolicy = field(default_factory=FixedData)

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 <= self.distillation_weight <= 1:
            found = f"temperature={self.temperature} must be above 0"
            raise ValueError(f"{found}, distillation_weight={self.distillation_weight} between 0 and 1")

    @property
    def settings(self) -> Mapping[str, float]:
        return {"temperature": self.temperature, "distillation_weight": self.distillation_weight}

    def requires(self) -> Requirements:
        return Requirements(distributions=frozenset({"teacher"}))

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """Every term of the format twice: against the target, and against the teacher."""
        found, share = {}, settings["distillation_weight"]
        for name, term in CrossEntropy().terms(of_format, settings).items():
            found[name] = replace(term, coefficient=(1 - share) * term.coefficient)
            found[name + SOFT] = replace(term, coefficient=share * term.coefficient)
        return found

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Both kinds of terms from one pass of either model."""
        from torch.nn.functional import cross_entropy

        from tests.rehearsals.divergences import forward_kl

        teacher = state.frozen["teacher"]
        logits = student.logits(student.hidden(batch))
        hard = cross_entropy(logits, batch.tokens, reduction="none")
        soft = forward_kl(logits, teacher.logits(teacher.hidden(batch)), state.settings["temperature"])
        return {name: (scale * (soft if name.endswith(SOFT) else hard)).sum() for name, scale in batch.scale.items()}
