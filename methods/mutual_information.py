"""Mutual information for step-by-step (Chen et al., Findings of ACL 2024, arXiv 2403.03348).

What the label task predicts, the rationale task must find likely too. The paper's body could not be had, so its loss is
read off the released code: docs/methods/mutual_information.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmark.axes.data_policy import FixedData
from benchmark.axes.loss import CrossEntropy
from benchmark.contract import DataPolicy, Requirements, StepModel, StepState
from benchmark.types import Term

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

LABEL, RATIONALE = "label", "rationale"
COUPLING = "mutual_information"
"""The name of the term that couples both tasks."""


@dataclass(frozen=True)
class MutualInformation:
    """The format's terms by cross-entropy, and `beta` times the mean over questions of a coupling of its two tasks.

    The next-token distributions of each task are pooled over its tokens, into p for the label task, which gets no
    gradient from this term, and q for the rationale task. The coupling is a cross-entropy of q with p as target, in
    nats. A question with one of the two tasks alone adds nothing and still counts in the mean.
    """

    beta: float = 0.1
    """The weight of the coupling."""
    pooling: Literal["mean", "released"] = "mean"
    """`mean`: p and q are mean distributions, and the coupling is `-sum p log q`. `released`: p and q hold the largest
    probability of every token at any place, and the coupling is `-sum p log softmax(q)`, as in the released code."""
    data_policy: DataPolicy = field(default_factory=FixedData)

    def __post_init__(self) -> None:
        if self.beta < 0:
            raise ValueError(f"beta={self.beta} is below 0, which would drive the two tasks apart")

    @property
    def settings(self) -> Mapping[str, float]:
        """Empty: a stage can set nothing."""
        return {}

    def requires(self) -> Requirements:
        """Nothing: `terms` refuses formats without the two tasks."""
        return Requirements()

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The format's terms and the coupling. Raises ValueError for a format without the two tasks."""
        missing = [task for task in (LABEL, RATIONALE) if not any(term.covers(task) for term in of_format.values())]
        if missing:
            raise ValueError(
                f"it couples the tasks {LABEL} and {RATIONALE}, and the format has no {' and no '.join(missing)}; "
                "choose format=step_by_step, format=multitask or format=multitask_counterfactual, or loss=cross_entropy"
            )
        both = Term(frozenset({LABEL, RATIONALE}), self.beta, per="group")
        return {**CrossEntropy().terms(of_format, settings), COUPLING: both}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term name -> scalar: as cross-entropy, and the coupling, both in nats times `scale`."""
        import torch

        logits = student.logits(student.hidden(batch))
        nats = torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none")
        found = {name: (scale * nats).sum() for name, scale in batch.scale.items() if name != COUPLING}
        if COUPLING in batch.scale:
            coupling = self.coupling(logits, batch, len(batch.scale[COUPLING]))
            found[COUPLING] = (batch.scale[COUPLING] * coupling).sum()
        return found

    def coupling(self, logits: torch.Tensor, batch: MicroBatch, groups: int) -> torch.Tensor:
        """[groups] nats, from [N, vocabulary] logits; 0 for a group without one of the two tasks."""
        import torch

        target = self._pooled(logits.detach(), batch, LABEL, groups)
        learner = self._pooled(logits, batch, RATIONALE, groups)
        if self.pooling == "released":
            scores = torch.log_softmax(learner, dim=-1)
        else:
            scores = learner.clamp(min=torch.finfo(learner.dtype).tiny).log()
        # An absent task is pooled to zeros: as the target it gives no loss; as the learner it must not.
        is_there = learner.detach().sum(-1) > 0
        return -(target * scores).sum(-1) * is_there

    def _pooled(self, logits: torch.Tensor, batch: MicroBatch, task: str, groups: int) -> torch.Tensor:
        """[groups, vocabulary]: the distributions of each group's tokens in the examples of the task, pooled."""
        import torch

        is_task = torch.tensor([example.task == task for example in batch.examples], device=logits.device)
        chosen = is_task[batch.example_of]
        of_group = batch.group_of[chosen]
        probabilities = logits[chosen].softmax(-1)
        empty = logits.new_zeros(groups, logits.shape[-1])
        if self.pooling == "released":
            return empty.scatter_reduce(0, of_group[:, None].expand_as(probabilities), probabilities, "amax")
        counts = torch.bincount(of_group, minlength=groups).clamp(min=1)
        return empty.index_add(0, of_group, probabilities) / counts[:, None]
