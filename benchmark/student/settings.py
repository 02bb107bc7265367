"""How the student is optimised (part of a cell's identity), and how the work is laid out (not part of it)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Optimization:
    """AdamW with warm-up and decay. `batch_size` counts groups; `precision` is Lightning's, on float32 weights.

    `validation_every_n_steps` also validates inside training, for data policies that go by it; null: after rounds only.
    """

    max_steps: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float = 0.05
    decay: Literal["cosine", "linear", "constant"] = "linear"
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    gradient_clip: float | None = 1.0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    validation_every_n_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "learning_rate", "validation_every_n_steps"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}={value} must be above 0")
        for name in ("warmup_fraction", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be in [0, 1)")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay} must not be negative")
        if self.gradient_clip is not None and self.gradient_clip <= 0:
            raise ValueError(f"gradient_clip={self.gradient_clip} must be above 0, or null for none")

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at a fraction in [0, 1) of the optimiser's life: linear warm-up, then decay towards 0."""
        if progress < self.warmup_fraction:
            return self.learning_rate * progress / self.warmup_fraction
        remaining = (1 - progress) / (1 - self.warmup_fraction)
        factor = {"constant": 1.0, "linear": remaining, "cosine": 0.5 * (1 - math.cos(math.pi * remaining))}
        return self.learning_rate * factor[self.decay]

    def optimiser(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW over the trainable weights; biases and norms, the one-dimensional ones, do not decay."""
        import torch

        trainable = [weight for weight in network.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in trainable if weight.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [weight for weight in trainable if weight.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=(self.beta1, self.beta2), fused=True)


@dataclass(frozen=True)
class TrainerSettings:
    """How the work is laid on this machine; nothing here moves a number beyond rounding.

    `threads` null means one for tiny students, and all that this process may use for others. A micro-batch is at most
    `micro_batch_tokens` padded tokens, or one group. `compile_layers` takes a while at the start of a fit and needs a
    C++ compiler; then steps are faster and take less memory. A checkpoint inside a long fit is written every
    `checkpoint_minutes`; 0 writes one after every step.
    """

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    threads: int | None = None
    micro_batch_tokens: int = 4096
    compile_layers: bool = False
    evaluation_batch_size: int = 64
    log_every_n_steps: int = 50
    checkpoint_minutes: float = 5.0
    save_student: bool = True

    def __post_init__(self) -> None:
        for name in ("micro_batch_tokens", "evaluation_batch_size", "log_every_n_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes={self.checkpoint_minutes} must not be negative")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads={self.threads} must be at least 1, or null to let the benchmark choose")
