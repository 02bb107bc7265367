"""How a student writes: batched by prompt length, with a key-value cache, finished rows leaving the batch.

Greedy at temperature 0. Above it, every request draws from a stream of its own, so that batch and order do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.student.architecture import architecture_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPACT_BELOW = 0.9
"""Finished rows leave the batch once this share or less is still writing; each compaction copies the cache."""


@dataclass
class Draft:
    """A prompt and the tokens written after it so far; `limit` is the most that it may write."""

    prompt: list[int]
    limit: int
    temperature: float = 0.0
    chance: np.random.Generator | None = None
    tokens: list[int] = field(default_factory=list)
    finished: bool = False
    """Whether it ended with EOS; a full draft that did not is truncated."""


def write(
    network: PreTrainedModel,
    drafts: Sequence[Draft],
    eos_ids: frozenset[int],
    padding_id: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda rows: None,
) -> None:
    """Fills every draft in place, without its EOS. `advance` is told how many drafts each batch finished."""
    order = sorted(range(len(drafts)), key=lambda i: (len(drafts[i].prompt), drafts[i].limit, i))
    for start in range(0, len(order), batch_size):
        batch = [drafts[i] for i in order[start : start + batch_size]]
        _write_batch(network, [draft for draft in batch if draft.limit > 0], eos_ids, padding_id)
        advance(len(batch))


@torch.inference_mode()
def _write_batch(network: Any, drafts: list[Draft], eos_ids: frozenset[int], padding_id: int) -> None:
    if not drafts:
        return
    text = architecture_of(network).continuation(network, [draft.prompt for draft in drafts], padding_id)
    while True:
        chosen = _choose(text.next_logits().float(), drafts)
        writing = [_append(draft, token, eos_ids) for draft, token in zip(drafts, chosen, strict=True)]
        if not any(writing):
            return
        text.extend(chosen)
        if sum(writing) <= COMPACT_BELOW * len(drafts):
            text.keep(torch.tensor([i for i, more in enumerate(writing) if more], device=network.device))
            drafts = [draft for draft, more in zip(drafts, writing, strict=True) if more]


def _append(draft: Draft, token: int, eos_ids: frozenset[int]) -> bool:
    """Whether the draft goes on writing after this token; one that already ended stays as it is."""
    if draft.finished or len(draft.tokens) >= draft.limit:
        return False
    if token in eos_ids:
        draft.finished = True
        return False
    draft.tokens.append(token)
    return len(draft.tokens) < draft.limit


def _choose(logits: torch.Tensor, drafts: Sequence[Draft]) -> list[int]:
    greedy: list[int] = logits.argmax(dim=-1).tolist()
    for i, draft in enumerate(drafts):
        if draft.chance is not None and draft.temperature > 0:
            cumulative = torch.softmax(logits[i] / draft.temperature, dim=-1).double().cumsum(0)
            threshold = draft.chance.random() * float(cumulative[-1])
            greedy[i] = min(int(torch.searchsorted(cumulative, threshold, right=True)), len(cumulative) - 1)
    return greedy
