"""The processes that train one student together: each computes a share of every step; all end with the same weights.

All processes run the same program on the same data, in the same order. Alone, every function here is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from benchmark.student.batch import MicroBatch
    from benchmark.student.generation import Draft

Item = TypeVar("Item")
Found = TypeVar("Found")

_TOGETHER: ContextVar[bool] = ContextVar("together", default=True)
"""Whether all processes are at the same place of the program; False inside `each_alone`."""


def count() -> int:
    """How many processes train together; 1 for a process that trains alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0 for the first one, which writes files."""
    return dist.get_rank() if count() > 1 else 0


@contextmanager
def each_alone() -> Iterator[None]:
    """Inside the block, what is asked of a model is not split: each process asks something else."""
    token = _TOGETHER.set(False)
    try:
        yield
    finally:
        _TOGETHER.reset(token)


def micro_batch_tokens(most: int, tokens: int) -> int:
    """The most tokens of a micro-batch, so that a step of so many tokens gives each process something to do."""
    return max(1, min(most, -(-tokens // count()))) if count() > 1 else most


def own_share(micro_batches: Sequence[MicroBatch]) -> list[MicroBatch]:
    """The micro-batches that this process computes; the processes get about equal numbers of tokens."""
    if count() == 1:
        return list(micro_batches)
    shares: list[list[MicroBatch]] = [[] for _ in range(count())]
    loads = [0] * count()
    for batch in sorted(micro_batches, key=lambda each: -each.input_ids.numel()):
        least = loads.index(min(loads))
        shares[least].append(batch)
        loads[least] += batch.input_ids.numel()
    return shares[rank()]


def summed(values: Mapping[str, float]) -> dict[str, float]:
    """By name the sum over all processes, in the order of the processes, so that all get the same floats."""
    totals: dict[str, float] = {}
    for of_process in _from_all(dict(values)):
        for name, value in of_process.items():
            totals[name] = totals.get(name, 0.0) + value
    return totals


def sum_gradients(network: torch.nn.Module) -> None:
    """Adds up the gradients of all processes; a weight that no process has a gradient for keeps none."""
    if count() == 1:
        return
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    has = torch.tensor([float(weight.grad is not None) for weight in weights], device=weights[0].device)
    dist.all_reduce(has, op=dist.ReduceOp.MAX)
    moved = [weight for weight, any_has in zip(weights, has.tolist(), strict=True) if any_has]
    for weight in moved:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for weight in moved:
        assert weight.grad is not None
        by_type.setdefault(weight.grad.dtype, []).append(weight.grad)
    for gradients in by_type.values():  # one message each: many small ones cost more than they carry
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, part in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def agreed(value: Found) -> Found:
    """The first process's value, in all processes."""
    if count() == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    found: Found = box[0]
    return found


def split(items: Sequence[Item], compute: Callable[[Sequence[Item]], Sequence[Found]]) -> list[Found]:
    """`compute` of all items, in their order; each process computes a share. `compute` treats each item by itself."""
    if count() == 1 or not _TOGETHER.get():
        return list(compute(items))
    found: list[Any] = [None] * len(items)
    for number, part in enumerate(_from_all(list(compute(items[rank() :: count()])))):
        found[number :: count()] = part  # the share of process `number`
    return found


def write_split(drafts: Sequence[Draft], write: Callable[[Sequence[Draft]], None]) -> None:
    """Writes drafts in place; each process writes a share, and all get all of them."""

    def written(share: Sequence[Draft]) -> list[Any]:
        write(share)
        return [(each.tokens, each.end, each.nats, each.stopped, each.seconds) for each in share]

    for draft, (tokens, end, nats, stopped, seconds) in zip(drafts, split(drafts, written), strict=True):
        draft.tokens, draft.end, draft.nats, draft.stopped, draft.seconds = tokens, end, nats, stopped, seconds


def _from_all(value: Found) -> list[Found]:
    """The values of all processes, in their order."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, value)
    return found
