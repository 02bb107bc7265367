"""The plain loss: cross-entropy with the target, on the drawn examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.axes.data_policy import FixedData
from benchmark.contract import DataPolicy, Requirements, StepModel, StepState
from benchmark.types import Term

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch


@dataclass(frozen=True)
class CrossEntropy:
    """Negative log-likelihood of the target tokens, EOS included, averaged within each term of the format."""

    data_policy: DataPolicy = field(default_factory=FixedData)

    @property
    def settings(self) -> Mapping[str, float]:
        """Empty: a stage can set nothing."""
        return {}

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The format's terms. Raises ValueError for a mean per group, because this loss has one value per token."""
        for name, term in of_format.items():
            if term.per == "group":
                raise ValueError(f"term {name!r} is a mean per group, but cross-entropy has values per token")
        return of_format

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term name -> scalar: the sum over response tokens of `scale` times negative log-likelihood in nats."""
        nats = student.negative_log_likelihoods(student.hidden(batch), batch.tokens)
        return {name: (scale * nats).sum() for name, scale in batch.scale.items()}
