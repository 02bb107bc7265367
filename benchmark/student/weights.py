"""Weights in a cell's journal: written when a fit ends, read where an attempt goes on behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_model, save_model

from benchmark.records.contents import file_hash
from benchmark.records.journal import Journal

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save_weights(network: PreTrainedModel, journal: Journal, folder: str) -> None:
    """Writes `weights.safetensors`, then its hash; only both together count."""
    journal.replace(f"{folder}/weights.safetensors", lambda path: save_model(network, str(path)))
    journal.write(f"{folder}/weights.json", {"sha256": file_hash(journal.path(f"{folder}/weights.safetensors"))})


def load_weights(network: PreTrainedModel, journal: Journal, folder: str) -> bool:
    """Puts the weights into the network; False, with the network as it was, where they are missing or have changed."""
    expected, weights = journal.read(f"{folder}/weights.json"), f"{folder}/weights.safetensors"
    if expected is None or not journal.intact(weights, expected["sha256"]):
        return False
    load_model(network, str(journal.path(weights)))
    return True
