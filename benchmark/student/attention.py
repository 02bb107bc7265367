"""Attention for rows of different lengths whose tokens stand in one sequence.

Everything in a decoder but its attention treats each token by itself. So the tokens of all rows are laid end to end,
and only attention sees them as padded rows: padding costs nothing in the matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

END_TO_END = "end_to_end"
"""The name under which transformers knows this attention."""


@dataclass(frozen=True)
class Rows:
    """Where N tokens, laid end to end, stand in B rows padded on the right to T: `places` [N] index B x T."""

    places: torch.Tensor
    count: int
    width: int

    @classmethod
    def of(cls, mask: torch.Tensor) -> Rows:
        """The rows of a [B, T] mask that is 1 on tokens and 0 on padding."""
        return cls(mask.flatten().nonzero()[:, 0], *mask.shape)

    @property
    def positions(self) -> torch.Tensor:
        """[N]: each token's position in its row."""
        return self.places % self.width

    def padded(self, states: torch.Tensor) -> torch.Tensor:
        """[1, heads, N, size] as [B, heads, T, size], zero in the padding."""
        _, heads, tokens, size = states.shape
        flat = states[0].transpose(0, 1).reshape(tokens, heads * size)
        wide = flat.new_zeros(self.count * self.width, heads * size).index_copy(0, self.places, flat)
        return wide.view(self.count, self.width, heads, size).transpose(1, 2)

    def end_to_end(self, states: torch.Tensor) -> torch.Tensor:
        """[B, T, heads, size] as [1, N, heads, size]."""
        flat = states.flatten(0, 1).flatten(1)
        taken: torch.Tensor = _Take.apply(flat, self.places)  # type: ignore[no-untyped-call]
        return taken.view(1, len(self.places), *states.shape[2:])


class _Take(torch.autograd.Function):
    """Rows by distinct indices; the gradient of `index_select` adds them one by one, which is slow on a CPU."""

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
    """[batch, tokens, heads, size]: transformers' own `sdpa`; causal within each row where `rows` are given."""
    if _writes_in_bfloat16_on_cpu(query, value):
        return attend_from_one_token(query, key, value, attention_mask, settings.get("scaling")), None
    if rows is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    query, key, value = (rows.padded(states) for states in (query, key, value))
    attended, _ = sdpa_attention_forward(module, query, key, value, None, **{**settings, "is_causal": True})
    return rows.end_to_end(attended), None


def attend_from_one_token(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """[batch, 1, heads, size], from a query [batch, heads, 1, size] to keys and values [batch, groups, tokens, size].

    The mask is True on tokens, [batch, 1, 1, tokens]. As `sdpa`, but that scores are rounded as all other products of
    bfloat16 matrices are: the fused kernel takes twice the time of these products for so few queries.
    """
    batch, heads, _, size = query.shape
    scaled = query * (size**-0.5 if scaling is None else scaling)
    queries = scaled.view(batch, key.shape[1], -1, size)  # heads that share keys
    scores = torch.matmul(key, queries.transpose(2, 3).to(key.dtype)).float()
    if mask is not None:
        scores = scores.masked_fill(~mask.transpose(2, 3), -torch.inf)
    weights = torch.softmax(scores.transpose(2, 3), dim=-1).to(value.dtype)
    return torch.matmul(weights, value).view(batch, 1, heads, size)


def _writes_in_bfloat16_on_cpu(query: torch.Tensor, value: torch.Tensor) -> bool:
    return query.shape[2] == 1 and value.dtype == torch.bfloat16 and value.device.type == "cpu"


AttentionInterface.register(END_TO_END, attend)
AttentionMaskInterface.register(END_TO_END, sdpa_mask)


def attend_end_to_end(network: Any) -> None:
    """Lets a decoder use this attention, where plain causal attention is what it does."""
    if network._supports_attention_backend and network.config._attn_implementation == "sdpa" and _is_causal(network):
        network.set_attn_implementation(END_TO_END)


def attends_end_to_end(network: Any) -> bool:
    """Whether the network takes `rows`."""
    return bool(network.config._attn_implementation == END_TO_END)


def _is_causal(network: Any) -> bool:
    """Whether every layer looks at all earlier tokens of its row."""
    config = network.config
    if config.is_encoder_decoder:
        return False
    windowed = getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return not windowed and kinds == {"full_attention"}
