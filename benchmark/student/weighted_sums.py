"""Weighted sums of a function of next-token log-probabilities: hidden states in, value and gradient out.

A loss is a sum over positions of factor x value. Its factors are known before the forward pass, so that the gradient
of a chunk of positions can be taken at once, while its logits are there: every chunk is projected to the vocabulary
once, and nobody holds the logits of all positions. `over_positions`, which knows no factors, projects a chunk twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from benchmark.contract import PositionFunction, Signal
from benchmark.student.over_positions import Distributions, chunks_of, part_of, refuse_other_lengths

Signals = Sequence[torch.Tensor | Signal]


@dataclass(frozen=True)
class Summand:
    """What is summed: at each position a function's values, each times its factor."""

    function: PositionFunction
    """Gets a chunk's log-probabilities and the chunk's rows of every signal; returns [n, k]."""
    factors: torch.Tensor
    """[N, k] factors of the values, without gradient."""
    signals: Signals
    """What is known of each of the N positions."""
    compiles: bool = False
    """Whether both models' softmax, the function and their gradient are compiled together."""

    def of_chunk(self, logits: torch.Tensor, positions: slice) -> torch.Tensor:
        """[k]: the chunk's weighted sums, from its [n, vocabulary] logits."""
        signals = [_part(signal, positions) for signal in self.signals]
        return _weighted(self.function, logits, self.factors[positions], *signals)

    def with_gradient(
        self, logits: torch.Tensor, positions: slice, factors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The chunk's sums [k] with these factors [N, k], and the gradient of their total by the logits."""
        signals = [_part(signal, positions) for signal in self.signals]
        run = _compiled() if self.compiles else _with_gradient
        return run(self.function, logits, factors[positions], *signals)


@dataclass(frozen=True)
class _Logits:
    """A frozen model's logits of a chunk."""

    numbers: torch.Tensor


def _part(signal: torch.Tensor | Signal, positions: slice) -> torch.Tensor | _Logits:
    if isinstance(signal, Distributions):
        return _Logits(signal.logits_at(positions))
    return part_of(signal, positions)


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """In float32, or float64 for logits in float64."""
    return torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _weighted(
    function: PositionFunction, logits: torch.Tensor, factors: torch.Tensor, *signals: torch.Tensor | _Logits
) -> torch.Tensor:
    """[k] weighted sums."""
    parts = [_log_softmax(each.numbers) if isinstance(each, _Logits) else each for each in signals]
    values = function(_log_softmax(logits), *parts)
    if values.shape != factors.shape:
        raise ValueError(
            f"the function of weighted_sums must return one number per position and column, {list(factors.shape)}, and "
            f"returned {list(values.shape)}"
        )
    return (values * factors).sum(0)


def _with_gradient(
    function: PositionFunction, logits: torch.Tensor, factors: torch.Tensor, *signals: torch.Tensor | _Logits
) -> tuple[torch.Tensor, torch.Tensor]:
    """([k] weighted sums, gradient of their total by the logits): one program, which keeps nothing in between."""

    def total(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sums = _weighted(function, logits, factors, *signals)
        return sums.sum(), sums

    of_logits, (_, sums) = torch.func.grad_and_value(total, has_aux=True)(logits)
    return sums, of_logits


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    made: Callable[..., tuple[torch.Tensor, torch.Tensor]] = torch.compile(_with_gradient, dynamic=True)
    return made


def weighted_sums(summand: Summand, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """[k]: the sums over all N positions.

    They equal `(function(log_softmax(hidden @ weight.T)) * factors).sum(0)` in value and gradient, also if the caller
    gives the k sums different weights afterwards.

    Args:
        summand: the function, its factors and signals.
        hidden: [N, width] states; under autocast, products have its precision.
        weight: [vocabulary, width] of the output embedding, which has no bias.

    Raises:
        ValueError: for a signal without exactly N positions, or values that do not fit the factors.
    """
    refuse_other_lengths(len(hidden), [summand.factors, *summand.signals])
    sums: torch.Tensor = _WeightedSums.apply(hidden, weight, summand)  # type: ignore[no-untyped-call]
    return sums


@dataclass(frozen=True)
class _Pass:
    """The sums, and the gradients of their total."""

    sums: torch.Tensor
    of_hidden: torch.Tensor
    of_weight: torch.Tensor | None


class _WeightedSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, summand: Summand) -> torch.Tensor:
        if not any(ctx.needs_input_grad):
            return _sums(hidden, weight, summand)
        ctx.summand, ctx.learns_weight = summand, ctx.needs_input_grad[1]
        made = _pass(hidden, weight, summand, summand.factors, ctx.learns_weight)
        ctx.save_for_backward(hidden, weight, made.of_hidden, made.of_weight)
        return made.sums

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        hidden, weight, of_hidden, of_weight = ctx.saved_tensors
        if (gradient == 1).all():  # a training step adds its terms up
            return of_hidden, of_weight, None
        made = _pass(hidden, weight, ctx.summand, ctx.summand.factors * gradient, ctx.learns_weight)
        return made.of_hidden, made.of_weight, None


def _sums(hidden: torch.Tensor, weight: torch.Tensor, summand: Summand) -> torch.Tensor:
    states, table = _cast(hidden, weight)
    return torch.stack(
        [summand.of_chunk(states[each] @ table.T, each) for each in chunks_of(len(hidden), len(weight))]
    ).sum(0)


def _pass(
    hidden: torch.Tensor, weight: torch.Tensor, summand: Summand, factors: torch.Tensor, learns_weight: bool
) -> _Pass:
    """The sums with `summand.factors`, and the gradients of the total with `factors`; chunk by chunk."""
    with torch.autocast(hidden.device.type, enabled=False):
        states, table = _cast(hidden, weight)
        sums = torch.zeros(factors.shape[1], dtype=factors.dtype, device=hidden.device)
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight) if learns_weight else None
        for each in chunks_of(len(hidden), len(weight)):
            found, of_logits = summand.with_gradient(states[each] @ table.T, each, factors)
            sums += found
            of_hidden[each] = of_logits @ table
            if of_weight is not None:
                _add_product(of_weight, of_logits, states[each])
    return _Pass(sums, of_hidden, of_weight)


def _cast(hidden: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in the precision of the products, without gradient."""
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    return hidden.detach().to(dtype), weight.detach().to(dtype)


def _add_product(total: torch.Tensor, of_logits: torch.Tensor, states: torch.Tensor) -> None:
    """Adds `of_logits.T @ states` to the total in place."""
    if total.dtype == of_logits.dtype:
        total.addmm_(of_logits.T, states)
    else:
        total += of_logits.T @ states
