"""Weights cast once: outside of training, autocast would cast every weight again for every token that is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.pytorch_utils import Conv1D

PROJECTIONS = (torch.nn.Linear, Conv1D)
"""What autocast computes in the lower precision in the networks we know; all else keeps its float32 weights."""


@contextmanager
def projections_cast(network: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Holds the projections' weights in `dtype`, so that autocast finds nothing to cast: the numbers stay the same."""
    originals = [
        (module, name, weight)
        for module in network.modules()
        if isinstance(module, PROJECTIONS)
        for name, weight in module.named_parameters(recurse=False)
        if weight.dtype == torch.float32
    ]
    try:
        for module, name, weight in originals:  # a new parameter: a tied embedding keeps the one in float32
            setattr(module, name, torch.nn.Parameter(weight.detach().to(dtype), requires_grad=False))
        yield
    finally:
        for module, name, weight in originals:
            setattr(module, name, weight)
