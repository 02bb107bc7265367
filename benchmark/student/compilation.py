"""Layers compiled for training: they fuse what stands between the matrix products, and keep less for the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def layers_compiled(network: PreTrainedModel, backend: str = "inductor") -> Iterator[None]:
    """Compiles the repeated layers of a network, all of which share one piece of code; undone at the end.

    The network as a whole is left alone: it is the layers where the time goes, and one of them compiles in seconds.
    """
    names = set(network._no_split_modules or ())
    layers = [module for module in network.modules() if type(module).__name__ in names]
    try:
        for layer in layers:
            layer.compile(backend=backend, dynamic=True)
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


@contextmanager
def not_compiled() -> Iterator[None]:
    """Runs compiled layers as they were written: generation would compile them anew for every kind of cache."""
    with torch.compiler.set_stance("force_eager"):
        yield
