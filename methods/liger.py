"""`loss=liger_jensen_shannon`: the white-box loss with the chunked Jensen-Shannon divergence of Liger Kernel, for GPUs.

Liger's code is called and not copied (extra `liger`, BSD-2). What differs from `loss=white_box` stands in
docs/methods/white_box.md, "Liger's chunked loss".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.axes.data_policy import FixedData
from benchmark.contract import DataPolicy, Requirements, StepModel, StepState
from benchmark.extras import absence
from benchmark.types import Term
from methods.white_box import SOFT, JensenShannon, WhiteBox

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

Chunked = Any
"""Liger's module: ([n, width] states, weight) of student and teacher and [n] tokens -> a mean over n, in nats."""


@dataclass(frozen=True)
class LigerJensenShannon:
    """The terms of `WhiteBox` with the Jensen-Shannon divergence of a live teacher, computed by Liger.

    Liger gives the mean over the positions that it gets, so that it is called once per term and different factor: once
    per term where all examples weigh the same.
    """

    teacher_weight: float = 0.5
    """The teacher's share of the mixture, and the weight of its KL, in [0, 1]: Liger's `beta`."""
    data_policy: DataPolicy = field(default_factory=FixedData)
    """Which text they are compared on."""
    distillation_weight: float = 1.0
    """The weight of the divergence, in (0, 1]; the cross-entropy has the rest. A setting that a stage may change."""
    temperature: float = 1.0
    """Divides the logits of both models before they are compared. A setting that a stage may change."""
    temperature_squared: bool = True
    """Whether the divergence is multiplied by the temperature's square, which Liger itself does not."""
    chunk_size: int = 1024
    """Positions of a chunk; Liger cuts N positions into N // chunk_size chunks, of nearly twice that size at most."""
    compiled: bool = True
    """Whether Liger compiles a chunk's work; this needs a C++ compiler on a CPU, and Triton on a GPU."""

    def __post_init__(self) -> None:
        if (why := absence("liger_kernel")) is not None:
            raise ValueError(
                f"loss=liger_jensen_shannon needs the package liger-kernel, which {why}: pip install "
                "'distillation-benchmark[liger]', or choose loss=white_box loss/divergence=jensen_shannon"
            )
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size={self.chunk_size} must be at least 1")
        self._refuse_no_divergence(self._plain().distillation_weight)

    def _plain(self) -> WhiteBox:
        """The same loss without Liger."""
        return WhiteBox(
            divergence=JensenShannon(self.teacher_weight),
            data_policy=self.data_policy,
            distillation_weight=self.distillation_weight,
            temperature=self.temperature,
            temperature_squared=self.temperature_squared,
        )

    def _refuse_no_divergence(self, weight: float) -> None:
        if weight == 0:
            raise ValueError(
                "distillation_weight=0 leaves nothing to compare, and Liger would read the teacher all the same; "
                "choose loss=cross_entropy, or loss=white_box for a curriculum with such a stage"
            )

    @property
    def settings(self) -> Mapping[str, float]:
        """What a stage may change."""
        return self._plain().settings

    def requires(self) -> Requirements:
        """The teacher's distributions."""
        return self._plain().requires()

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The terms of `WhiteBox`.

        Raises ValueError for a weight of 0, and for a term that is no mean per token: every sequence would have a
        factor and so a call of its own, each with a gradient as large as the output embedding.
        """
        self._refuse_no_divergence(settings["distillation_weight"])
        for name, term in of_format.items():
            if term.per == "sequence":
                raise ValueError(
                    f"term {name!r} of the format is a mean per sequence, and Liger gives one mean over all positions; "
                    "choose loss=white_box loss/divergence=jensen_shannon"
                )
        return self._plain().terms(of_format, settings)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term -> scalar: the sum over positions of its factor times negative log-likelihood or divergence, in nats.

        Raises ValueError for a model whose output layer is more than one matrix.
        """
        if not batch.scale:
            return {}
        temperature, teacher = state.settings["temperature"], state.frozen["teacher"]
        weights = student.output_embedding(), teacher.output_embedding()
        states = student.hidden(batch), teacher.hidden(batch).to(weights[1].dtype)
        chunked = {soft: self._chunked(soft, temperature) for soft in (False, True)}
        found = {}
        for name, factors in batch.scale.items():
            is_soft = name.endswith(SOFT)
            square = temperature**2 if is_soft and self.temperature_squared else 1.0
            found[name] = weighted_sum(chunked[is_soft], square * factors, states, weights, batch.tokens)
        return found

    def _chunked(self, soft: bool, temperature: float) -> Chunked:
        """Liger's loss for one of our terms: the divergence alone, or the cross-entropy alone.

        Factors stay outside: as weights of Liger they would be compiled anew for every step.
        """
        from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

        return LigerFusedLinearJSDLoss(
            weight_hard_loss=0.0 if soft else 1.0,
            weight_soft_loss=1.0 if soft else 0.0,
            beta=self.teacher_weight,
            temperature=temperature,
            compiled=self.compiled,
            chunk_size=self.chunk_size,
        )


def weighted_sum(
    chunked: Chunked,
    factors: torch.Tensor,
    states: tuple[torch.Tensor, torch.Tensor],
    weights: tuple[torch.Tensor, torch.Tensor],
    tokens: torch.Tensor,
) -> torch.Tensor:
    """The sum over N positions of factor times value, from the means of `chunked` over positions of equal factor.

    Args:
        chunked: Liger's loss.
        factors: [N]; positions of factor 0 are left out, as if their labels were Liger's `ignore_index`.
        states: [N, width] of student and teacher.
        weights: [vocabulary, width] output embeddings of both, over the tokens that they share.
        tokens: [N] targets.
    """
    ours, theirs = states
    total = ours[:0].sum()  # a 0 that belongs to the graph, for a micro-batch without a token of the term
    for factor in sorted(set(factors.tolist())):
        if factor == 0:
            continue
        [at] = (factors == factor).nonzero(as_tuple=True)
        total = total + factor * len(at) * chunked(ours[at], weights[0], theirs[at], weights[1], tokens[at])
    return total
