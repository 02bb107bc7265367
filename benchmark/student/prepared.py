"""What a loss prepares before a fit, such as a teacher's signals, and keeps from round to round of its cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.contract import FrozenModel, Loss, PreparingLoss
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.settings import TrainerSettings
from benchmark.student.student import EVERY_TOKEN, Student
from benchmark.types import TrainingExample


@dataclass(frozen=True)
class StudentBatches:
    """What a loss may use to prepare (`contract.Preparation`)."""

    student: Student
    """The student; its tokenizer and window decide the tokens of a batch."""
    frozen: Mapping[str, FrozenModel]
    """Models with fixed weights, by their names in `Requirements.distributions`."""
    micro_batch_tokens: int
    """The most tokens in a micro-batch, padding included."""
    earlier: Any
    """What the loss prepared before the cell's last fit; None before the first, and after an interruption."""

    def batches(self, examples: Sequence[TrainingExample]) -> Iterator[MicroBatch]:
        """Micro-batches with all different examples, each once, as the student reads them; by length, not in order."""
        different = list(dict.fromkeys(examples))
        if different:
            encoded = self.student.encoder.examples(different)
            step = collate(encoded, EVERY_TOKEN, self.student.padding_id, self.micro_batch_tokens)
            yield from (batch.to(self.student.network.device) for batch in step.micro_batches)


@dataclass
class Prepared:
    """The value that a loss prepared, as its steps see it in `StepState.prepared`."""

    value: Any = None
    """None for a loss that prepares nothing."""

    def for_fit(
        self,
        loss: Loss,
        examples: Sequence[TrainingExample],
        student: Student,
        frozen: Mapping[str, FrozenModel],
        settings: TrainerSettings,
    ) -> Any:
        """Lets the loss prepare for the examples of a fit, with what it prepared before at hand; returns the value."""
        if isinstance(loss, PreparingLoss):
            self.value = loss.prepare(
                examples, StudentBatches(student, frozen, settings.micro_batch_tokens, self.value)
            )
        return self.value
