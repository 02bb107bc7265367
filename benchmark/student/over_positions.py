"""Applies a function to next-token log-probabilities chunk by chunk: all of them are never in memory together.

For 4,000 response tokens and a vocabulary of 50,000, the logits of one model are 800 MB in float32, and a loss makes
several numbers of that size from them. Here a chunk is projected to the vocabulary, compared, and forgotten; the
backward pass makes it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from benchmark.contract import PositionFunction, Signal

NUMBERS_AT_ONCE = 2**24
"""The most log-probabilities of one chunk (64 MiB in float32); a chunk has at least one position."""


@dataclass(frozen=True)
class Distributions:
    """A frozen model's next-token log-probabilities at the N response positions of a micro-batch, made on demand."""

    hidden: torch.Tensor
    """[N, width]: the model's last hidden states."""
    logits: Callable[[torch.Tensor], torch.Tensor]
    """[n, width] hidden states -> [n, vocabulary] logits in the model's own precision, without gradient."""

    def __len__(self) -> int:
        return len(self.hidden)

    def at(self, positions: slice) -> torch.Tensor:
        """[n, vocabulary]: natural log-probabilities at these positions, float32, without gradient."""
        return torch.log_softmax(self.logits_at(positions), dim=-1, dtype=torch.float32)

    def logits_at(self, positions: slice) -> torch.Tensor:
        """[n, vocabulary]: logits at these positions, for a caller that takes the softmax elsewhere."""
        return self.logits(self.hidden[positions])


def over_positions(
    log_probabilities: Callable[[torch.Tensor], torch.Tensor],
    vocabulary: int,
    function: PositionFunction,
    hidden: torch.Tensor,
    signals: tuple[torch.Tensor | Signal, ...],
) -> torch.Tensor:
    """[N] or [N, k]: what `function` makes of each position's log-probabilities and signals.

    Args:
        log_probabilities: [n, width] hidden states -> [n, vocabulary] log-probabilities; its weights get gradients.
        vocabulary: how many tokens the log-probabilities cover; sets how many positions a chunk has.
        function: gets a chunk's log-probabilities, and per signal its part for the chunk's positions.
        hidden: [N, width].
        signals: each a tensor with N rows, or a `Signal` of N positions.

    Raises:
        ValueError: for a signal without exactly N positions, or a result without one row per position.
    """
    count = len(hidden)
    refuse_other_lengths(count, signals)

    def of_chunk(states: torch.Tensor, positions: slice) -> torch.Tensor:
        parts = [part_of(signal, positions) for signal in signals]
        values = function(log_probabilities(states), *parts)
        if values.ndim not in (1, 2) or len(values) != len(states):
            raise ValueError(
                f"the function of over_positions must return one row per position, [{len(states)}] or "
                f"[{len(states)}, k], and returned {list(values.shape)}"
            )
        return values

    chunks = chunks_of(count, vocabulary)
    if len(chunks) < 2:
        return of_chunk(hidden, slice(0, count))
    parts = torch.split(hidden, chunks[0].stop)
    return torch.cat(
        [_made_again_for_gradients(of_chunk, states, each) for states, each in zip(parts, chunks, strict=True)]
    )


def chunks_of(count: int, vocabulary: int) -> list[slice]:
    """The positions from 0 to `count` - 1 in chunks with at most `NUMBERS_AT_ONCE` log-probabilities each."""
    size = max(1, NUMBERS_AT_ONCE // vocabulary)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def refuse_other_lengths(count: int, signals: Sequence[torch.Tensor | Signal]) -> None:
    """Raises ValueError for a signal without exactly `count` positions."""
    for number, signal in enumerate(signals, 1):
        if len(signal) != count:
            raise ValueError(f"signal {number} has {len(signal)} positions, but the hidden states have {count}")


def part_of(signal: torch.Tensor | Signal, positions: slice) -> torch.Tensor:
    """The signal's rows for these positions."""
    return signal[positions] if isinstance(signal, torch.Tensor) else signal.at(positions)


def _made_again_for_gradients(function: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
    """The function's value; nothing in between is kept for the backward pass, which calls it a second time."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    value: torch.Tensor = checkpoint(function, *arguments, use_reentrant=False)
    return value
