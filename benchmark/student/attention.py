"""Attention for a batch of rows of different lengths that is stored as one sequence without padding.

All layers of a decoder except attention work on each token alone. The tokens of all rows are therefore stored row after
row in one sequence. The other layers compute nothing for padding; nor does attention on a CPU, which takes each row
alone (`row_attention.py`). Other devices pad the rows to [B, T] for attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from benchmark.student.row_attention import attend_row_by_row

END_TO_END = "end_to_end"
"""The name of this attention in transformers."""


@dataclass(frozen=True)
class Rows:
    """The positions of N tokens, stored row after row in one sequence, in B rows padded on the right to T."""

    places: torch.Tensor
    """[N]: the index of each token in the flattened padded batch, from 0 to B x T - 1."""
    count: int
    """The number of rows, B."""
    width: int
    """The length of a padded row, T."""
    lengths: torch.Tensor
    """[B]: the tokens of each row."""

    @classmethod
    def of(cls, mask: torch.Tensor) -> Rows:
        """The rows of a [B, T] mask that is 1 on tokens and 0 on padding."""
        count, width = mask.shape
        return cls(mask.flatten().nonzero()[:, 0], count, width, mask.sum(1))

    @property
    def positions(self) -> torch.Tensor:
        """[N]: each token's position in its row."""
        return self.places % self.width

    def padded(self, states: torch.Tensor) -> torch.Tensor:
        """Turns [1, heads, N, size] into [B, heads, T, size], zero at padding."""
        _, heads, tokens, size = states.shape
        flat = states[0].transpose(0, 1).reshape(tokens, heads * size)
        wide = flat.new_zeros(self.count * self.width, heads * size).index_copy(0, self.places, flat)
        return wide.view(self.count, self.width, heads, size).transpose(1, 2)

    def end_to_end(self, states: torch.Tensor) -> torch.Tensor:
        """Turns [B, T, heads, size] into [1, N, heads, size], without the padding."""
        flat = states.flatten(0, 1).flatten(1)
        taken: torch.Tensor = _Take.apply(flat, self.places)  # type: ignore[no-untyped-call]
        return taken.view(1, len(self.places), *states.shape[2:])


class _Take(torch.autograd.Function):
    """Selects rows by distinct indices; the gradient of `index_select` adds them one by one, which is slow on a CPU."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(rows)
        return rows[places]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.count, gradient.shape[1]).index_copy(0, places, gradient), None


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    rows: Rows | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers' own `sdpa` computes it, causal within each row where `rows` is given.

    One query token per row, in bfloat16 on a CPU, goes to `attend_from_one_token`. `rows` on a CPU go to
    `attend_row_by_row`.

    Args:
        module: the attention layer.
        query: [B, heads, query tokens, size], or [1, heads, N, size] with `rows`.
        key: [B, key heads, tokens, size], or [1, key heads, N, size] with `rows`.
        value: as `key`.
        attention_mask: True where a query may look at a key, [B, 1, query tokens, tokens]; None for no mask. Not used
            with `rows`.
        rows: the rows of the N tokens; None (the default) for a padded batch.
        **settings: further arguments of transformers' `sdpa`, such as `scaling` and `is_causal`.

    Returns:
        ([B, query tokens, heads, size] or [1, N, heads, size], None): the attended values, and no attention weights.
    """
    if _writes_in_bfloat16_on_cpu(query, value):
        return attend_from_one_token(query, key, value, attention_mask, settings.get("scaling")), None
    if rows is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    if _takes_rows_alone(query, value) and not settings.get("dropout"):
        scaling = settings.get("scaling") or query.shape[-1] ** -0.5
        return attend_row_by_row(query.to(value.dtype), key.to(value.dtype), value, rows.lengths, scaling), None
    query, key, value = (rows.padded(states) for states in (query, key, value))
    attended, _ = sdpa_attention_forward(module, query, key, value, None, **{**settings, "is_causal": True})
    return rows.end_to_end(attended), None


def attend_from_one_token(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """[batch, 1, heads, size], from a query [batch, heads, 1, size] to keys and values [batch, groups, tokens, size].

    `mask` is True on tokens, [batch, 1, 1, tokens]; `scaling` None stands for `size ** -0.5`. Equals `sdpa`, except
    that scores are rounded to bfloat16, like every product of bfloat16 matrices. The fused kernel of `sdpa` takes twice
    the time for so few queries.
    """
    batch, heads, _, size = query.shape
    scaled = query * (size**-0.5 if scaling is None else scaling)
    queries = scaled.view(batch, key.shape[1], -1, size)  # heads that share keys
    scores = torch.matmul(key, queries.transpose(2, 3).to(key.dtype)).float()
    if mask is not None:
        scores = scores.masked_fill(~mask.transpose(2, 3), -torch.inf)
    weights = torch.softmax(scores.transpose(2, 3), dim=-1).to(value.dtype)
    return torch.matmul(weights, value).view(batch, 1, heads, size)


def _takes_rows_alone(query: torch.Tensor, value: torch.Tensor) -> bool:
    return query.device.type == "cpu" and query.shape[-1] == value.shape[-1]


def _writes_in_bfloat16_on_cpu(query: torch.Tensor, value: torch.Tensor) -> bool:
    return query.shape[2] == 1 and value.dtype == torch.bfloat16 and value.device.type == "cpu"


AttentionInterface.register(END_TO_END, attend)
AttentionMaskInterface.register(END_TO_END, sdpa_mask)


def attend_end_to_end(network: Any) -> None:
    """Switches a decoder to this attention if it uses `sdpa` and plain causal attention; else changes nothing."""
    if network._supports_attention_backend and network.config._attn_implementation == "sdpa" and _is_causal(network):
        network.set_attn_implementation(END_TO_END)


def attends_end_to_end(network: Any) -> bool:
    """Whether the network uses this attention, and so takes the argument `rows`."""
    return bool(network.config._attn_implementation == END_TO_END)


def _is_causal(network: Any) -> bool:
    """Whether every layer looks at all earlier tokens of its row."""
    config = network.config
    if config.is_encoder_decoder:
        return False
    windowed = getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return not windowed and kinds == {"full_attention"}
