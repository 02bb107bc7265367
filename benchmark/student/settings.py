"""How the student is optimised (part of a cell's identity), and how the work is laid out (not part of it)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

SettledPrecision = Literal["32-true", "bf16-mixed"]
"""Float32, or bfloat16 matrix products over float32 weights; the names are Lightning's."""
Precision = Literal["auto", "32-true", "bf16-mixed"]
"""As in a config: with `auto`, reading a cell puts bf16-mixed where the device computes it, and 32-true elsewhere."""
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
FEW_PARAMETERS = 2_000_000
"""Below so many weights a student is tiny: a second thread costs more time than it saves, and large batches pay."""
ROWS_OF_TINY, ROWS_OF_OTHERS = 512, 64
"""Rows per batch outside training where nobody chose: a tiny student takes as long for 512 rows as for few."""


def settled(precision: Precision) -> SettledPrecision:
    """The same precision. Raises ValueError for `auto`, which `read_cell` replaces."""
    if precision == "auto":
        raise ValueError("precision=auto is no precision to compute in: a cell is read first, which settles it")
    return precision


@dataclass(frozen=True)
class Optimization:
    """AdamW with a learning rate that warms up and then decays."""

    max_steps: int
    """Optimiser steps of the final student; the schedule decides how rounds share them (`Round.steps_share`)."""
    batch_size: int
    """Groups per optimiser step; a group usually holds the examples of one question."""
    learning_rate: float
    """The highest learning rate, reached at the end of the warm-up."""
    warmup_fraction: float = 0.05
    """The fraction of the optimiser's life, in [0, 1), in which the learning rate rises linearly from 0."""
    decay: Literal["cosine", "linear", "constant"] = "linear"
    """How the learning rate falls to 0 after the warm-up; `constant` keeps it."""
    weight_decay: float = 0.0
    """AdamW's weight decay; biases and norms (one-dimensional weights) do not decay."""
    beta1: float = 0.9
    """AdamW's decay rate for the mean of the gradient."""
    beta2: float = 0.999
    """AdamW's decay rate for the mean of the squared gradient."""
    gradient_clip: float | None = 1.0
    """The largest norm of the gradient over all weights; null does not clip."""
    precision: Precision = "32-true"
    """`32-true`, `bf16-mixed`, or `auto`: bf16-mixed where the device computes bfloat16, 32-true elsewhere."""
    validation_every_n_steps: int | None = None
    """Also validate during training, every so many steps, for data policies that use it; null: after rounds only."""

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
        """AdamW over the trainable weights; one-dimensional weights (biases and norms) do not decay."""
        import torch

        trainable = [weight for weight in network.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in trainable if weight.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [weight for weight in trainable if weight.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=(self.beta1, self.beta2), fused=True)


@dataclass(frozen=True)
class TrainerSettings:
    """How the work runs on this machine; nothing here changes a number by more than rounding."""

    accelerator: Accelerator = "auto"
    """The device; `auto` takes a GPU if there is one."""
    devices: int = 1
    """Processes that train a cell's student together, each on a GPU or on a share of the threads."""
    threads: int | None = None
    """Number of CPU threads; null: one for tiny students, all that this process may use for others."""
    micro_batch_tokens: int = 4096
    """The most tokens in a micro-batch, padding included; a larger group is a micro-batch of its own."""
    compile_layers: bool = False
    """Compile layers when a fit begins (needs time and a C++ compiler); then steps are faster and need less memory."""
    evaluation_batch_size: int | None = None
    """Rows per batch when the student writes or scores; null: 512 for tiny students, 64 for others."""
    log_every_n_steps: int = 50
    """Optimiser steps from one logged loss to the next."""
    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints inside a fit; 0 writes one after every step."""
    save_student: bool = True
    """Whether the trained student is saved in the cell's folder."""

    def __post_init__(self) -> None:
        for name in ("devices", "micro_batch_tokens", "log_every_n_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.evaluation_batch_size is not None and self.evaluation_batch_size < 1:
            raise ValueError(
                f"evaluation_batch_size={self.evaluation_batch_size} must be at least 1, or null to let the benchmark "
                "choose"
            )
        if self.checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes={self.checkpoint_minutes} must not be negative")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads={self.threads} must be at least 1, or null to let the benchmark choose")

    def evaluation_rows(self, parameters: int) -> int:
        """Rows per batch when a model with so many weights writes or scores."""
        return self.evaluation_batch_size or (ROWS_OF_TINY if parameters < FEW_PARAMETERS else ROWS_OF_OTHERS)
