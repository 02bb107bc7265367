"""What a white-box loss computes at each position: the divergences of its terms, what they share only once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.contract import StepModel, StepState
from methods.adaptive import progress_of
from methods.teacher_signals import LiveSignal, TeacherSignal

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch
    from methods.white_box import Divergence


@dataclass(frozen=True)
class Compared:
    """What a white-box loss computes at each position: one number per term; what several terms share, once."""

    divergences: tuple[Divergence | None, ...]
    """The different divergences of the terms; None for a cross-entropy."""
    places: tuple[int, ...]
    """Per term the place of its divergence among them."""
    temperature: float
    """Divides the logits of both models in every divergence."""
    temperature_squared: bool
    """Whether divergences are multiplied by its square."""
    signal: TeacherSignal = field(default_factory=LiveSignal)
    """Where the teacher's distributions come from."""

    @classmethod
    def of(
        cls,
        of_terms: Sequence[Divergence | None],
        temperature: float,
        temperature_squared: bool,
        signal: TeacherSignal | None = None,
    ) -> Compared:
        """From the divergence of every term; the teacher is asked in each step if no signal is given."""
        different = tuple(dict.fromkeys(of_terms))
        places = tuple(map(different.index, of_terms))
        return cls(different, places, temperature, temperature_squared, signal or LiveSignal())

    @property
    def asks_teacher(self) -> bool:
        """Whether any term compares with the teacher."""
        return any(divergence is not None for divergence in self.divergences)

    def __call__(
        self, log_q: torch.Tensor, tokens: torch.Tensor, progress: torch.Tensor, *theirs: torch.Tensor
    ) -> torch.Tensor:
        """[n, terms] nats; `theirs` are the signal's rows, none where no term asks the teacher."""
        import torch

        factor = self.temperature**2 if self.temperature_squared else 1.0
        soft = self.signal.pair(log_q, theirs, self.temperature) if theirs else None
        values = [
            -log_q.gather(1, tokens[:, None])[:, 0]
            if divergence is None or soft is None
            else factor * divergence(soft[0], soft[1], progress[:1])
            for divergence in self.divergences
        ]
        return torch.stack([values[place] for place in self.places], -1)


def sums_of_terms(
    compared: Compared, batch: MicroBatch, student: StepModel, state: StepState
) -> Mapping[str, torch.Tensor]:
    """Term -> scalar, for the terms that the batch has, in its order."""
    import torch

    if not batch.scale:
        return {}
    factors = torch.stack(list(batch.scale.values()), -1)
    progress = torch.full_like(factors[:, 0], progress_of(compared.divergences, state))
    signals = [batch.tokens, progress]
    theirs = compared.signal.rows(batch, state) if compared.asks_teacher else ()
    sums = student.weighted_sums(compared, student.hidden(batch), factors, *signals, *theirs)
    return dict(zip(batch.scale, sums.unbind(), strict=True))
