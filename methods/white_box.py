"""White-box distillation: any divergence from a frozen teacher's distributions, on any data, beside a cross-entropy.

docs/methods/white_box.md gives each paper's equation and the line here. A divergence is a part of the loss
(`loss/divergence=NAME`), and so is the data policy (`loss/data_policy=NAME`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from benchmark.axes.data_policy import OWN, TEACHER_TEXT, ContrastivePairs, FixedData
from benchmark.contract import DataPolicy, Preparation, StepModel, StepState
from benchmark.types import Json, Per, Term, TrainingExample
from methods.adaptive import memory_after
from methods.comparison import Compared, ComparesWithTeacher, sums_of_terms
from methods.teacher_signals import LiveSignal, TeacherSignal, refuse_other_text

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

SOFT = "/distillation"
"""Ends the name of a term that compares with the teacher."""


@runtime_checkable
class Divergence(Protocol):
    """How two distributions are compared."""

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """[n] nats, from [n, tokens] log-probabilities of student and teacher; `progress` is as in `progress_of`."""
        ...


# --- the divergences as parts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ForwardKL:
    """KL(teacher, student)."""

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import forward_kl

        return forward_kl(log_q, log_p)


@dataclass(frozen=True)
class ReverseKL:
    """KL(student, teacher)."""

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import reverse_kl

        return reverse_kl(log_q, log_p)


@dataclass(frozen=True)
class SymmetricKL:
    """Both directions."""

    forward_weight: float = 0.5
    """The weight of the forward KL, in [0, 1]; the reverse KL has the rest."""

    def __post_init__(self) -> None:
        _refuse_no_share(forward_weight=self.forward_weight)

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import symmetric_kl

        return symmetric_kl(log_q, log_p, self.forward_weight)


@dataclass(frozen=True)
class JensenShannon:
    """The generalised Jensen-Shannon divergence; papers state its weight for either model, so that presets name it."""

    teacher_weight: float = 0.5
    """The teacher's share of the mixture, and the weight of its KL, in [0, 1]: GKD's beta."""
    normalised: bool = False
    """Whether to divide by weight times 1 - weight, so that the gradient keeps its size near the ends."""

    def __post_init__(self) -> None:
        _refuse_no_share(teacher_weight=self.teacher_weight)

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import jensen_shannon

        return jensen_shannon(log_q, log_p, self.teacher_weight, self.normalised)


@dataclass(frozen=True)
class TotalVariation:
    """Half the sum of absolute differences."""

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import total_variation

        return total_variation(log_q, log_p)


@dataclass(frozen=True)
class SkewForwardKL:
    """KL from the teacher to a mixture of both (DistiLLM)."""

    skew: float = 0.1
    """The teacher's share of the mixture, in [0, 1]."""

    def __post_init__(self) -> None:
        _refuse_no_share(skew=self.skew)

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import skew_forward_kl

        return skew_forward_kl(log_q, log_p, self.skew)


@dataclass(frozen=True)
class SkewReverseKL:
    """KL from the student to a mixture of both (DistiLLM)."""

    skew: float = 0.1
    """The student's share of the mixture, in [0, 1]."""
    mixture_learns: bool = True
    """Whether the student's share of the mixture has a gradient; DistiLLM-2's released code cuts it."""

    def __post_init__(self) -> None:
        _refuse_no_share(skew=self.skew)

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import skew_reverse_kl

        return skew_reverse_kl(log_q, log_p, self.skew, self.mixture_learns)


@dataclass(frozen=True)
class AdaptiveKL:
    """Forward and reverse KL, weighted by where the models are apart (AKL)."""

    head_mass: float = 0.5
    """The teacher's likeliest tokens up to this mass are the head."""

    def __post_init__(self) -> None:
        _refuse_no_share(head_mass=self.head_mass)

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import adaptive_kl

        return adaptive_kl(log_q, log_p, self.head_mass)


@dataclass(frozen=True)
class AlphaBeta:
    """The alpha-beta divergence (ABKD)."""

    alpha: float = 0.2
    """The power of the teacher's probabilities."""
    beta: float = 0.7
    """The power of the student's probabilities."""

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import alpha_beta

        return alpha_beta(log_q, log_p, self.alpha, self.beta)


@dataclass(frozen=True)
class ConcreteScore:
    """Half the variance of the difference in logits, weighted by the student (CSD)."""

    weight_temperature: float = 1.0
    """The temperature of the weights, above 0."""

    def __post_init__(self) -> None:
        if not self.weight_temperature > 0:
            raise ValueError(f"weight_temperature={self.weight_temperature} must be above 0")

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import concrete_score

        return concrete_score(log_q, log_p, self.weight_temperature)


@dataclass(frozen=True)
class Interpolated:
    """Forward KL from a target that moves by a straight line from student to teacher; `methods/taid.py` adapts it."""

    first_share: float = 0.2
    """The teacher's share at the first step, in [0, 1]."""
    last_share: float = 1.0
    """The teacher's share at the end, in [0, 1]."""

    def __post_init__(self) -> None:
        _refuse_no_share(first_share=self.first_share, last_share=self.last_share)

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """See `Divergence`."""
        from methods.divergences import forward_kl, interpolated

        share = self.first_share + (self.last_share - self.first_share) * progress
        return forward_kl(log_q, interpolated(log_q, log_p, share))


def _refuse_no_share(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name}={share} must lie in [0, 1]")


NEED_WHOLE = (ReverseKL, SymmetricKL, SkewReverseKL, AdaptiveKL, Interpolated)
"""Divergences with a minimum elsewhere than at equality if both distributions lose a part: no `tail=drop` for them."""


# --- the loss --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WhiteBox(ComparesWithTeacher):
    """A divergence from the teacher's distribution at every target token, and a cross-entropy with the target.

    Every term of the format is there twice, once for each, so that two tasks never become one mean. Own text of the
    student has the divergence alone: a cross-entropy would learn it by heart.
    """

    divergence: Divergence = field(default_factory=ForwardKL)
    """How the two models are compared."""
    data_policy: DataPolicy = field(default_factory=FixedData)
    """Which text they are compared on."""
    signal: TeacherSignal = field(default_factory=LiveSignal)
    """Where the teacher's distributions come from: the teacher itself, or what it gave once for fixed text."""
    distillation_weight: float = 1.0
    """The weight of the divergence, in [0, 1]; the cross-entropy has the rest, and at 1 it is not computed. A setting
    that a stage may change."""
    temperature: float = 1.0
    """Divides the logits of both models before they are compared. A setting that a stage may change."""
    temperature_squared: bool = True
    """Whether the divergence is multiplied by the temperature's square, so that gradients keep their size."""
    per: Per = "token"
    """What the divergence is a mean over: each `token`, if the format says nothing else, or each `sequence`, so that
    long texts count no more than short ones."""

    def __post_init__(self) -> None:
        _refuse_no_share(distillation_weight=self.distillation_weight)
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature} must be above 0")
        if self.per == "group":
            raise ValueError("per=group is no mean over tokens or sequences; choose per=token or per=sequence")
        refuse_other_text(self.signal, self.data_policy)
        self.signal.refuse_temperature(self.temperature)
        if isinstance(self.divergence, NEED_WHOLE):
            self.signal.refuse_dropping(type(self.divergence).__name__)

    @property
    def settings(self) -> Mapping[str, float]:
        """What a stage may change."""
        return {"distillation_weight": self.distillation_weight, "temperature": self.temperature}

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The format's terms, for the target and for the teacher, and one more for own text and the teacher.

        Terms without weight are left out, and so is their work. Raises ValueError for a format with means per group,
        or with a term that would cover own text, and for a temperature that the stored signal cannot have.
        """
        self.signal.refuse_temperature(settings["temperature"])
        weight, found = settings["distillation_weight"], dict[str, Term]()
        for name, term in of_format.items():
            if term.per == "group":
                raise ValueError(f"term {name!r} is a mean per group, but a white-box loss has values per token")
            if term.covers(OWN):
                raise ValueError(f"term {name!r} of the format covers {OWN!r}, which no cross-entropy may learn")
            if weight < 1:
                found[name] = replace(term, coefficient=(1 - weight) * term.coefficient)
            if weight > 0:
                found[name + SOFT] = replace(term, coefficient=weight * term.coefficient, per=self._per(term))
        return {**found, OWN + SOFT: Term(frozenset({OWN}), weight, per=self.per)} if weight > 0 else found

    def _per(self, term: Term) -> Per:
        return "sequence" if self.per == "sequence" else term.per

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> Any:
        """What the signal stores of the teacher's distributions for these examples; None for a live teacher."""
        return self.signal.prepare(examples, preparation)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term -> scalar: the sum over positions of its factor times negative log-likelihood or divergence, in nats."""
        divergences = tuple(self.divergence if name.endswith(SOFT) else None for name in batch.scale)
        compared = Compared.of(divergences, state.settings["temperature"], self.temperature_squared, self.signal)
        return sums_of_terms(compared, batch, student, state)

    def remembered(self, memory: Json, values: Mapping[str, float], state: StepState) -> Json:
        """What an adaptive divergence knows after the step, see `RememberingLoss`; None with another divergence."""
        return memory_after(self.divergence, memory, values, state, SOFT)


@dataclass(frozen=True)
class Contrastive(ComparesWithTeacher):
    """Skew forward KL on the teacher's text and skew reverse KL on the student's (DistiLLM-2, Ko et al., 2025).

    Each is a mean over sequences of means over their tokens. Mixtures have no gradient on the student's text, as in the
    released code, whose curricula of skew and weight are switched off.
    """

    data_policy: DataPolicy = field(default_factory=ContrastivePairs)
    """Supplies both texts."""
    skew: float = 0.1
    """The share in [0, 1] that a mixture has of the model which is compared with it."""
    own_weight: float = 1.0
    """The weight of the student's text, in [0, 2]; the teacher's text has the rest of 2."""

    def __post_init__(self) -> None:
        _refuse_no_share(skew=self.skew)
        if not 0 <= self.own_weight <= 2:
            raise ValueError(f"own_weight={self.own_weight} must lie in [0, 2]")

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The format's terms, for which nothing is supplied, and one for each of the two texts."""
        return {
            **of_format,
            TEACHER_TEXT + SOFT: Term(frozenset({TEACHER_TEXT}), 2 - self.own_weight, per="sequence"),
            OWN + SOFT: Term(frozenset({OWN}), self.own_weight, per="sequence"),
        }

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term -> scalar: the sum over positions of its factor times its divergence, in nats."""
        of_text: dict[str, Divergence] = {
            TEACHER_TEXT + SOFT: SkewForwardKL(self.skew),
            OWN + SOFT: SkewReverseKL(self.skew, mixture_learns=False),
        }
        divergences = tuple(of_text.get(name) for name in batch.scale)
        return sums_of_terms(Compared.of(divergences, 1.0, False), batch, student, state)
