"""Casts weights once outside training, because autocast would cast every weight again for every written token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.pytorch_utils import Conv1D

PROJECTIONS = (torch.nn.Linear, Conv1D)
"""The layers that autocast computes in lower precision in the networks we know; other layers keep float32 weights."""


@contextmanager
def projections_cast(network: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Holds these layers' weights in `dtype` inside the block, so that autocast casts nothing; results are the same."""
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
