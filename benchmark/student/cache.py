"""A key-value cache that grows in blocks; the cache of transformers copies all its content for every new token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer

BLOCK = 64
"""A full layer grows to the next multiple of this number of tokens."""


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # its hook for subclasses is untyped
    """Keys and values [rows, heads, tokens, size] of one layer, in buffers with room for further tokens."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds the keys and values of further tokens; returns the keys and values of all tokens.

        Casts keys to the type of the values. Under autocast the rotary embedding returns keys in float32, and attention
        would cast all of them again for every new token.
        """
        key_states = key_states.to(value_states.dtype)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = [key_states[:, :, :0], value_states[:, :, :0]]
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        self.buffers = [_with_room(buffer, before, after) for buffer in self.buffers]
        self.keys, self.values = (buffer[:, :, :after] for buffer in self.buffers)
        self.keys[:, :, before:] = key_states
        self.values[:, :, before:] = value_states
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps only the rows with these indices."""
        tokens = self.get_seq_length()
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self.buffers)


def joined(caches: Sequence[Any]) -> Any:
    """One cache with the rows of all caches, which must hold equally many tokens. Changes and returns the first one."""
    first, *others = caches
    for number, layer in enumerate(first.layers if others else ()):
        same = [cache.layers[number] for cache in caches]
        layer.keys = torch.cat([each.keys for each in same])
        layer.values = torch.cat([each.values for each in same])
        if isinstance(layer, GrowingLayer):
            layer.buffers = [layer.keys, layer.values]
    return first


def _with_room(buffer: torch.Tensor, filled: int, tokens: int) -> torch.Tensor:
    if tokens <= buffer.shape[-2]:
        return buffer
    rows, heads, _, size = buffer.shape
    larger = buffer.new_empty(rows, heads, -(-tokens // BLOCK) * BLOCK, size)
    larger[:, :, :filled] = buffer[:, :, :filled]
    return larger


def growing_cache(network: Any) -> DynamicCache | EncoderDecoderCache:
    """An empty cache for a network. Layers with a sliding window keep the class that transformers gives them."""
    cache = DynamicCache(config=network.config)
    grows: Any = GrowingLayer
    cache.layers = [grows() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if network.config.is_encoder_decoder:
        return EncoderDecoderCache(cache, DynamicCache(config=network.config))
    return cache
