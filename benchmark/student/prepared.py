"""What a loss prepares before a fit, such as a teacher's signals, and keeps from round to round of its cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.contract import Compute, Loss, PreparingLoss
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.frozen import Frozen
from benchmark.student.kept_signals import Signals, Workplace, kept_in_memory, kept_on_disk
from benchmark.student.settings import TrainerSettings
from benchmark.student.student import Student
from benchmark.student.target_scores import EVERY_TOKEN
from benchmark.types import Json, TrainingExample

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class StudentBatches:
    """What a loss may use to prepare (`contract.Preparation`)."""

    student: Student
    """The student; its tokenizer and window decide the tokens of a batch."""
    frozen: Mapping[str, Frozen]
    """Models with fixed weights, by their names in `Requirements.distributions`."""
    micro_batch_tokens: int
    """The most tokens in a micro-batch, padding included."""
    earlier: Any
    """What the loss prepared before the cell's last fit; None before the first, and after an interruption."""
    place: Workplace = field(default_factory=Workplace)
    """Where files are kept, and where progress is shown."""

    def batches(self, examples: Sequence[TrainingExample]) -> Iterator[MicroBatch]:
        """Micro-batches with all different examples, each once, as the student reads them; by length, not in order."""
        different = list(dict.fromkeys(examples))
        if different:
            encoded = self.student.encoder.examples(different)
            step = collate(encoded, EVERY_TOKEN, self.student.padding_id, self.micro_batch_tokens)
            yield from (batch.to(self.student.network.device) for batch in step.micro_batches)

    def keep_in_memory(
        self, model: str, examples: Sequence[TrainingExample], compute: Compute, bytes_per_token: int, most_gb: float
    ) -> Signals:
        """See `contract.Preparation`."""
        read, size = self.frozen[model], (bytes_per_token, most_gb)
        return kept_in_memory(self.earlier, read, examples, self.batches, compute, *size, self.place)

    def keep_on_disk(
        self,
        model: str,
        examples: Sequence[TrainingExample],
        compute: Compute,
        settings: Mapping[str, Json],
        row: np.dtype,
    ) -> Signals:
        """See `contract.Preparation`."""
        read = self.frozen[model]
        return kept_on_disk(self.earlier, read, examples, self.batches, compute, settings, row, self.place)


@dataclass
class Prepared:
    """The value that a loss prepared, as its steps see it in `StepState.prepared`."""

    value: Any = None
    """None for a loss that prepares nothing."""
    place: Workplace = field(default_factory=Workplace)
    """What the next fit has around it."""

    def for_fit(
        self,
        loss: Loss,
        examples: Sequence[TrainingExample],
        student: Student,
        frozen: Mapping[str, Frozen],
        settings: TrainerSettings,
    ) -> Any:
        """Lets the loss prepare for the examples of a fit, with what it prepared before at hand; returns the value."""
        if isinstance(loss, PreparingLoss):
            tokens = settings.micro_batch_tokens
            self.value = loss.prepare(examples, StudentBatches(student, frozen, tokens, self.value, self.place))
        return self.value
