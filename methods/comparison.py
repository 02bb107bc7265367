"""What a white-box loss computes at each position: the divergences of its terms, what they share only once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.contract import Monitors, Requirements, StepModel, StepState
from methods.adaptive import progress_of
from methods.teacher_signals import LiveSignal, Rows, TeacherSignal

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch
    from methods.white_box import Divergence


class ComparesWithTeacher:
    """What losses share that read a teacher's distributions; by itself such a loss has no settings."""

    @property
    def settings(self) -> Mapping[str, float]:
        """What a stage may change: nothing, unless the loss says otherwise."""
        return {}

    def requires(self) -> Requirements:
        """The teacher's distributions."""
        return Requirements(distributions=frozenset({"teacher"}))


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
    def soft_terms(self) -> list[int]:
        """The places of the terms that compare with the teacher."""
        return [number for number, place in enumerate(self.places) if self.divergences[place] is not None]

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
    hidden = student.hidden(batch)
    if state.monitors is not None and theirs:
        is_compared = (factors[:, compared.soft_terms] != 0).any(-1)
        _show(state.monitors, Glance(compared.signal), student, hidden.detach(), is_compared, theirs)
    sums = student.weighted_sums(compared, hidden, factors, *signals, *theirs)
    return dict(zip(batch.scale, sums.unbind(), strict=True))


MONITORED = ("student_entropy", "teacher_entropy", "top_1_agreement")
"""What loggers get of a white-box loss, as means over the positions where the models are compared."""


@dataclass(frozen=True)
class Glance:
    """The numbers of `MONITORED` at each position, at temperature 1 whatever the loss has."""

    signal: TeacherSignal
    """Where the teacher's distributions come from."""

    def __call__(self, log_q: torch.Tensor, *theirs: torch.Tensor) -> torch.Tensor:
        """[n, 3]: both entropies in nats, and 1 where both models have the same most likely token."""
        import torch

        from methods.divergences import entropy, floored

        of_teacher, likeliest = self.signal.entropy_and_likeliest(theirs)
        return torch.stack([entropy(floored(log_q)), of_teacher, (log_q.argmax(-1) == likeliest).to(log_q.dtype)], -1)


def _show(
    monitors: Monitors, glance: Glance, student: StepModel, hidden: torch.Tensor, counts: torch.Tensor, theirs: Rows
) -> None:
    """Adds the sums of `MONITORED` over the positions that count: a pass over the chunks of its own, without gradient.

    The program that makes values and gradients stays as it is, since most steps are not logged.
    """
    import torch

    factors = counts.to(torch.float32)[:, None].expand(-1, len(MONITORED))
    with torch.no_grad():
        sums = student.weighted_sums(glance, hidden, factors, *theirs)
    monitors.add(dict(zip(MONITORED, sums.unbind(), strict=True)), int(counts.sum()))
