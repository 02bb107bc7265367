"""How a student writes: batched by prompt length, with a key-value cache, finished rows leaving the batch.

Greedy at temperature 0. Above it, every request draws from a stream of its own, so that batch and order do not matter.
A draft that is written against another prompt takes two rows of the batch, which get the same tokens in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.student.architecture import architecture_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPACT_BELOW = 0.9
"""Finished rows leave the batch once this share or less is still writing; each compaction copies the cache."""


@dataclass(frozen=True)
class Opponent:
    """The other row of a contrasted draft: its prompt, its weight, and the tokens that end the draft as EOS does."""

    prompt: list[int]
    weight: float
    end_ids: frozenset[int] = frozenset()


@dataclass
class Draft:
    """A prompt and the tokens written after it so far; `limit` is the most that it may write."""

    prompt: list[int]
    limit: int
    temperature: float = 0.0
    chance: np.random.Generator | None = None
    tokens: list[int] = field(default_factory=list)
    end: int | None = None
    """The token that ended it, as a rule EOS; None for a draft that is full or holds a text that stops it."""
    opponent: Opponent | None = None
    nats: list[float] | None = None
    """A list to begin with collects its tokens' log-probabilities at temperature 1; None asks for none."""
    holds_stop: Callable[[Sequence[int]], bool] | None = None
    """Whether the tokens written so far hold a text that stops it, given that they did not without the last one."""
    stopped: bool = False

    @property
    def finished(self) -> bool:
        """Whether it ended before it was full, and so is not truncated."""
        return self.stopped or self.end is not None

    @property
    def rows(self) -> int:
        """How many rows of a batch it takes."""
        return 1 if self.opponent is None else 2

    @property
    def width(self) -> int:
        """The tokens of its longest row before anything is written."""
        return max(len(self.prompt), len(self.opponent.prompt) if self.opponent else 0)


def write(
    network: PreTrainedModel,
    drafts: Sequence[Draft],
    eos_ids: frozenset[int],
    padding_id: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda rows: None,
) -> None:
    """Fills every draft in place, without its EOS. `advance` is told how many drafts each batch finished."""
    order = sorted(range(len(drafts)), key=lambda i: (drafts[i].width, drafts[i].limit, i))
    for batch in _batches([drafts[i] for i in order], batch_size):
        _write_batch(network, [draft for draft in batch if draft.limit > 0], eos_ids, padding_id)
        advance(len(batch))


def _batches(drafts: Sequence[Draft], batch_size: int) -> Iterator[list[Draft]]:
    """The drafts in order, as many together as have at most `batch_size` rows, but at least one."""
    batch: list[Draft] = []
    rows = 0
    for draft in drafts:
        if batch and rows + draft.rows > batch_size:
            yield batch
            batch, rows = [], 0
        batch.append(draft)
        rows += draft.rows
    if batch:
        yield batch


@torch.inference_mode()
def _write_batch(network: Any, drafts: list[Draft], eos_ids: frozenset[int], padding_id: int) -> None:
    if not drafts:
        return
    prompts = [*(draft.prompt for draft in drafts), *(d.opponent.prompt for d in drafts if d.opponent)]
    text = architecture_of(network).continuation(network, prompts, padding_id)
    while True:
        logits = text.next_logits().float()
        own, against = logits[: len(drafts)], logits[len(drafts) :]
        chosen = _ended(own, _choose(_contrasted(own, against, drafts), drafts), drafts, eos_ids)
        nats = _log_probabilities(own, chosen, drafts)
        writing = [_append(*each, eos_ids) for each in zip(drafts, chosen, nats, strict=True)]
        if not any(writing):
            return
        text.extend([*chosen, *(token for token, draft in zip(chosen, drafts, strict=True) if draft.opponent)])
        if sum(writing) <= COMPACT_BELOW * len(drafts):
            text.keep(torch.tensor(_rows_of(drafts, writing), device=network.device))
            drafts = [draft for draft, more in zip(drafts, writing, strict=True) if more]


def _rows_of(drafts: Sequence[Draft], writing: Sequence[bool]) -> list[int]:
    """The rows of those that go on writing: the drafts' own come first, then those of their opponents."""
    contrasted = [i for i, draft in enumerate(drafts) if draft.opponent]
    opponents = [len(drafts) + row for row, i in enumerate(contrasted) if writing[i]]
    return [*(i for i, more in enumerate(writing) if more), *opponents]


def _contrasted(own: torch.Tensor, against: torch.Tensor, drafts: Sequence[Draft]) -> torch.Tensor:
    """The logits to choose by. Normalising either row would only shift them, and leave every choice as it is."""
    weights = [draft.opponent.weight for draft in drafts if draft.opponent]
    if not weights:
        return own
    scores = own.clone()
    scores[[i for i, draft in enumerate(drafts) if draft.opponent]] -= own.new_tensor(weights)[:, None] * against
    return scores


def _ended(own: torch.Tensor, chosen: Sequence[int], drafts: Sequence[Draft], eos_ids: frozenset[int]) -> Sequence[int]:
    """The tokens chosen; a contrasted draft ends also where the model by itself would end it.

    Both rows expect the end at the same place, so that the contrast alone would run past it.
    """
    if not any(draft.opponent for draft in drafts):
        return chosen
    likeliest = own.argmax(dim=-1).tolist()
    return [
        by_itself if draft.opponent and by_itself in eos_ids | draft.opponent.end_ids else token
        for draft, by_itself, token in zip(drafts, likeliest, chosen, strict=True)
    ]


def _log_probabilities(own: torch.Tensor, chosen: Sequence[int], drafts: Sequence[Draft]) -> list[float]:
    """Those of the chosen tokens, where a draft asks for any."""
    if all(draft.nats is None for draft in drafts):
        return [0.0] * len(drafts)
    tokens = torch.tensor(chosen, device=own.device)[:, None]
    nats: list[float] = (own.gather(1, tokens)[:, 0] - own.logsumexp(dim=-1)).tolist()
    return nats


def _append(draft: Draft, token: int, nats: float, eos_ids: frozenset[int]) -> bool:
    """Whether the draft goes on writing after this token; one that already ended stays as it is."""
    if draft.finished or len(draft.tokens) >= draft.limit:
        return False
    if token in eos_ids or (draft.opponent and token in draft.opponent.end_ids):
        draft.end = token
        return False
    draft.tokens.append(token)
    if draft.nats is not None:
        draft.nats.append(nats)
    draft.stopped = draft.holds_stop is not None and draft.holds_stop(draft.tokens)
    return not draft.stopped and len(draft.tokens) < draft.limit


def _choose(logits: torch.Tensor, drafts: Sequence[Draft]) -> list[int]:
    greedy: list[int] = logits.argmax(dim=-1).tolist()
    for i, draft in enumerate(drafts):
        if draft.chance is not None and draft.temperature > 0:
            cumulative = torch.softmax(logits[i] / draft.temperature, dim=-1).double().cumsum(0)
            threshold = draft.chance.random() * float(cumulative[-1])
            greedy[i] = min(int(torch.searchsorted(cumulative, threshold, right=True)), len(cumulative) - 1)
    return greedy
