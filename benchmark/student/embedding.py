"""Vectors of texts: the mean of the last hidden states over the tokens of a text, for selections by diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmark.student.architecture import architecture_of
from benchmark.student.encoding import Encoder


@dataclass(frozen=True)
class EncodedText:
    """A text as tokens that fit the window, with the tokens that its tokenizer puts around a text."""

    ids: tuple[int, ...]
    """Token ids to read."""
    is_text: tuple[bool, ...]
    """Whether each token belongs to the text; False for those around it."""
    truncated: bool
    """Whether the text lost its end."""


def encode_texts(encoder: Encoder, texts: Sequence[str]) -> list[EncodedText]:
    """Every text as tokens, without a chat template. Raises ValueError for a text that has no token."""
    if not texts:
        return []  # tokenizers fail on an empty batch
    rows = encoder.tokenizer(
        list(texts), add_special_tokens=True, split_special_tokens=True, return_special_tokens_mask=True
    )
    return [
        _encoded(text, ids, around, encoder.max_length)
        for text, ids, around in zip(texts, rows["input_ids"], rows["special_tokens_mask"], strict=True)
    ]


def _encoded(text: str, ids: Sequence[int], around: Sequence[int], window: int) -> EncodedText:
    of_text = [not each for each in around][:window]
    if not any(of_text):
        raise ValueError(f"the text {text!r} has no token, so it has no embedding; leave it out")
    return EncodedText(tuple(ids[:window]), tuple(of_text), len(ids) > window)


@torch.inference_mode()
def mean_states(network: Any, encoded: Sequence[EncodedText], padding_id: int, batch_size: int) -> np.ndarray:
    """[texts, width] float32. `batch_size` is the most texts in a batch; no text depends on the others."""
    found = np.zeros((len(encoded), network.config.hidden_size), dtype=np.float32)
    order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i].ids), i))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        states = architecture_of(network).states(network, [encoded[i].ids for i in batch], padding_id).float()
        width = states.shape[1]
        masks = [[*encoded[i].is_text, *[False] * (width - len(encoded[i].ids))] for i in batch]
        of_text = torch.tensor(masks, device=states.device)[:, :, None]
        found[batch] = ((states * of_text).sum(1) / of_text.sum(1)).cpu().numpy()
    return found
