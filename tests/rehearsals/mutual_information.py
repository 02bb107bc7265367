"""Mutual information between the two tasks of step-by-step: what the label says, the rationale must find likely too.

The released form: both tasks' next-token distributions are pooled over their tokens by the maximum, and the pooled
rationale, as logits, is held against the pooled label, as a target without a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.axes.data_policy import FixedData
from benchmark.axes.loss import CrossEntropy
from benchmark.contract import DataPolicy, Requirements, StepModel, StepState
from benchmark.types import Term

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

COUPLING = "mutual_information"


@dataclass(frozen=True)
class MutualInformation:
    """The terms of the format, and per question `beta * CE(softmax(q), p)` for pooled label p and pooled rationale q.

    A question with one of the two tasks alone adds nothing and still counts in the mean.
    """

    beta: float = 0.1
    target: str = "label"
    learner: str = "rationale"
    data_policy: DataPolicy = field(default_factory=FixedData)

    @property
    def settings(self) -> Mapping[str, float]:
        return {}

    def requires(self) -> Requirements:
        return Requirements()

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        missing = [task for task in (self.target, self.learner) if not any(t.covers(task) for t in of_format.values())]
        if missing:
            raise ValueError(
                f"it couples the tasks {self.target} and {self.learner}, and the format has no "
                f"{' and no '.join(missing)}; choose format=step_by_step, or loss=cross_entropy"
            )
        both = Term(frozenset({self.target, self.learner}), self.beta, per="group")
        return {**CrossEntropy().terms(of_format, settings), COUPLING: both}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        import torch

        logits = student.logits(student.hidden(batch))
        nats = torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none")
        found = {name: (scale * nats).sum() for name, scale in batch.scale.items() if name != COUPLING}
        if COUPLING in batch.scale:
            groups = len(batch.scale[COUPLING])
            target = self._pooled(logits.detach(), batch, self.target, groups)
            learner = self._pooled(logits, batch, self.learner, groups)
            # A task that is not there has pooled to zeros, and so gives no loss (as target) or must give none.
            present = (learner.detach().sum(-1) > 0).float()
            coupling = -(target * torch.log_softmax(learner, dim=-1)).sum(-1) * present
            found[COUPLING] = (batch.scale[COUPLING] * coupling).sum()
        return found

    def _pooled(self, logits: torch.Tensor, batch: MicroBatch, task: str, groups: int) -> torch.Tensor:
        """[groups, vocabulary]: the largest probability of every token anywhere in a group's examples of the task."""
        import torch

        is_task = torch.tensor([example.task == task for example in batch.examples], device=logits.device)
        chosen = is_task[batch.example_of]
        of_group = batch.group_of[chosen][:, None].expand(-1, logits.shape[-1])
        empty = logits.new_zeros(groups, logits.shape[-1])
        return empty.scatter_reduce(0, of_group, logits[chosen].softmax(-1), "amax")
