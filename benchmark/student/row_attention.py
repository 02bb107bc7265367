"""Causal attention on a CPU for rows stored end to end: every row alone, so that nothing is computed for padding.

Padded to the longest row, a batch of texts takes about twice the time: attention grows with the square of the length.
These are operators of their own, because a compiler would otherwise compile them again for every set of lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default


def attend_row_by_row(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: torch.Tensor, scaling: float
) -> torch.Tensor:
    """[1, N, heads, size]: attention from each token to the tokens before it in its row, and to itself.

    Args:
        query: [1, heads, N, size], row after row.
        key: [1, key heads, N, size], where heads is a multiple of key heads.
        value: as `key`, of the same size.
        lengths: [B] int64, the tokens of each row; they add up to N.
        scaling: the factor of the scores before the softmax.
    """
    attended: torch.Tensor = _attend(query, key, value, lengths, scaling)[0]
    return attended


def _rows(lengths: torch.Tensor) -> Iterator[slice]:
    ends = lengths.cumsum(0)
    return map(slice, (ends - lengths).tolist(), ends.tolist())


@torch.library.custom_op("benchmark::attend_row_by_row", mutates_args=(), device_types="cpu")
def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: torch.Tensor, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(attended values [1, N, heads, size], logarithms of the softmax's sums [1, N, heads])."""
    attended, log_sums = _empty(query)
    for each in _rows(lengths):
        of_row, sums_of_row = _forward(
            query[:, :, each], key[:, :, each], value[:, :, each], 0.0, is_causal=True, scale=scaling
        )
        attended[:, each] = of_row.transpose(1, 2)
        log_sums[:, each] = sums_of_row.transpose(1, 2)
    return attended, log_sums


@torch.library.custom_op("benchmark::attend_row_by_row_backward", mutates_args=(), device_types="cpu")
def _gradients(
    gradient: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attended: torch.Tensor,
    log_sums: torch.Tensor,
    lengths: torch.Tensor,
    scaling: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of query, key and value, from that of the attended values."""
    found = tuple(_like(each) for each in (query, key, value))
    for each in _rows(lengths):
        parts = (gradient[:, each].transpose(1, 2), *(whole[:, :, each] for whole in (query, key, value)))
        saved = (attended[:, each].transpose(1, 2), log_sums[:, each].transpose(1, 2))
        for whole, part in zip(found, _backward(*parts, *saved, 0.0, True, scale=scaling), strict=True):
            whole[:, :, each] = part
    return found  # type: ignore[return-value]


@_attend.register_fake
def _empty(query: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    heads, tokens, size = query.shape[1:]
    sums_dtype = torch.promote_types(query.dtype, torch.float32)
    return query.new_empty(1, tokens, heads, size), query.new_empty(1, tokens, heads, dtype=sums_dtype)


def _like(states: torch.Tensor) -> torch.Tensor:
    """[1, heads, tokens, size] without values, stored token after token, as projections write and read it."""
    heads, tokens, size = states.shape[1:]
    return states.new_empty(1, tokens, heads, size).transpose(1, 2)


@_gradients.register_fake
def _empty_gradients(
    gradient: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _like(query), _like(key), _like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    *tensors, ctx.scaling = inputs
    ctx.save_for_backward(*tensors, *output)


def _backward_of_both(ctx: Any, of_attended: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
    query, key, value, lengths, attended, log_sums = ctx.saved_tensors
    found = _gradients(of_attended.contiguous(), query, key, value, attended, log_sums, lengths, ctx.scaling)
    return (*found, None, None)


_attend.register_autograd(_backward_of_both, setup_context=_keep)
