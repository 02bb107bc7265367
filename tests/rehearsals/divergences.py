"""Divergences that several scripted methods share: pure functions of logits, one value per position."""

from __future__ import annotations

import torch


def forward_kl(student: torch.Tensor, teacher: torch.Tensor, tau: float = 1.0) -> torch.Tensor:
    """[N]: KL(teacher || student) in nats at temperature tau, times tau squared so that gradients keep their size."""
    of_teacher, of_student = (torch.log_softmax(logits / tau, dim=-1) for logits in (teacher, student))
    return tau**2 * (of_teacher.exp() * (of_teacher - of_student)).sum(-1)
