"""Compiles layers for training: compiled layers are faster and keep fewer values for the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def layers_compiled(network: PreTrainedModel, backend: str = "inductor") -> Iterator[None]:
    """Compiles the repeated layers of a network inside the block; they all share one piece of code.

    Only these layers are compiled, not the whole network: they take most of the time, and one compiles in seconds.
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
    """Runs compiled layers uncompiled inside the block: generation would compile them again for every kind of cache."""
    with torch.compiler.set_stance("force_eager"):
        yield
