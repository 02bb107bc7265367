"""Weights in a cell's journal: written when a fit ends, read when a later attempt continues after that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_model, save_model

from benchmark.records.contents import file_hash
from benchmark.records.journal import Journal

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def save_weights(network: PreTrainedModel, journal: Journal, folder: str) -> None:
    """Writes `weights.safetensors`, then `weights.json` with its hash; one without the other is ignored."""
    journal.replace(f"{folder}/weights.safetensors", lambda path: save_model(network, str(path)))
    journal.write(f"{folder}/weights.json", {"sha256": file_hash(journal.path(f"{folder}/weights.safetensors"))})


def load_weights(network: PreTrainedModel, journal: Journal, folder: str) -> bool:
    """Loads the weights into the network. Returns False, and changes nothing, if they are missing or damaged."""
    expected, weights = journal.read(f"{folder}/weights.json"), f"{folder}/weights.safetensors"
    if expected is None or not journal.intact(weights, expected["sha256"]):
        return False
    load_model(network, str(journal.path(weights)))
    return True
