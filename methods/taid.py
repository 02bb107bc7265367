"""TAID (Shing et al., ICLR 2025): a target on its way from the student to the teacher, faster where the loss falls.

The straight way is `Interpolated` in `methods/white_box.py`. docs/methods/white_box.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.types import Json

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AdaptivelyInterpolated:
    """Forward KL from a target between student and teacher, whose share of the teacher rises as the loss falls.

    After a step with loss L (in the paper's algorithm and in the released code):

        fall = (L_before - L) / L_before,   m = momentum * m_before + (1 - momentum) * fall
        share = min(last, max(straight line, share + most_per_step * sigmoid(m) * (1 - share)))

    The first step only sets the loss. L is the divergence itself, as in the paper; the released code takes the cross-
    entropy with the target.
    """

    first_share: float = 0.2
    """The teacher's share at the first step, in [0, 1]."""
    last_share: float = 1.0
    """The teacher's share at the end, in [0, 1], at least `first_share`."""
    most_per_step: float = 5e-4
    """By how much the share may rise in a step beside the straight line, in [0, 1]: the paper's alpha."""
    momentum: float = 0.99
    """How much of the mean fall so far stays at a step, in [0, 1]: the paper's beta."""

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share} must lie in [0, 1]")
        if self.last_share < self.first_share:
            raise ValueError(
                f"last_share={self.last_share} is below first_share={self.first_share}, but the share never falls"
            )

    def __call__(self, log_q: torch.Tensor, log_p: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
        """[n] nats, from [n, tokens] log-probabilities of student and teacher; `progress` is the teacher's share."""
        from methods.divergences import forward_kl, interpolated

        return forward_kl(log_q, interpolated(log_q, log_p, progress))

    def progress(self, memory: Json) -> float:
        """The teacher's share."""
        return self.first_share if memory is None else float(memory["share"])

    def remembered(self, memory: Json, loss: float, done: float) -> Json:
        """Share, momentum and loss after a step."""
        if memory is None:
            return {"share": self.first_share, "momentum": 0.0, "loss": loss}
        fall = (memory["loss"] - loss) / (memory["loss"] + 1e-15)
        mean_fall = self.momentum * memory["momentum"] + (1 - self.momentum) * fall
        straight = self.first_share + (self.last_share - self.first_share) * done
        rise = self.most_per_step * _sigmoid(mean_fall) * (1 - memory["share"])
        share = min(self.last_share, max(straight, memory["share"] + rise))
        return {"share": share, "momentum": mean_fall, "loss": loss}


def _sigmoid(x: float) -> float:
    """In the form that overflows for no number."""
    return 0.5 * (1 + math.tanh(x / 2))
