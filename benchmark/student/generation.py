"""How a student writes: batches of similar prompt length, a key-value cache, and finished rows that leave the batch.

Temperature 0 is greedy. Above it, every request draws from its own random stream, so batch and order do not matter.
A contrasted draft (a draft with an `Opponent`) takes two rows of the batch; both rows get the same tokens. With a
`Partner`, a second network writes along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.student.architecture import architecture_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from benchmark.student.mixing import Partner

COMPACT_BELOW = 0.9
"""Finished rows leave the batch when at most this share of rows is still writing; each removal copies the cache."""


@dataclass(frozen=True)
class Opponent:
    """The second row of a contrasted draft: the same tokens after another prompt."""

    prompt: list[int]
    weight: float
    """The factor of this row's logits, which are subtracted from the logits of the draft's own row."""
    end_ids: frozenset[int] = frozenset()
    """Tokens that end the draft, as EOS does."""


@dataclass
class Draft:
    """A prompt and the tokens written after it so far."""

    prompt: list[int]
    """The prompt's token ids."""
    limit: int
    """The most tokens that may be written."""
    temperature: float = 0.0
    """0 is greedy."""
    chance: np.random.Generator | None = None
    """The source of random numbers; needed above temperature 0."""
    tokens: list[int] = field(default_factory=list)
    """The tokens written so far, without the one that ended the draft."""
    end: int | None = None
    """The token that ended the draft, usually EOS; None if no token ended it."""
    partner_prompt: list[int] | None = None
    """The prompt's token ids for the second network; None where one network writes alone."""
    opponent: Opponent | None = None
    """The second row of a contrasted draft; None for a plain draft."""
    nats: list[float] | None = None
    """Natural log-probabilities of `tokens` at temperature 1. Start with [] to collect them, with None not to."""
    holds_stop: Callable[[Sequence[int]], bool] | None = None
    """Gets all tokens after each new one and says whether they contain a stop text; None if there is no stop text."""
    stopped: bool = False
    """Whether a stop text ended the draft."""
    seconds: float = 0.0
    """Wall-clock time from the start of its batch to the end of the draft."""
    begun: Sequence[int] = ()
    """Tokens of a begun reply that a decoder reads behind its start token, where `prompt` is the encoder's alone."""

    @property
    def finished(self) -> bool:
        """Whether a token or a stop text ended the draft; False for a draft that was cut at `limit`."""
        return self.stopped or self.end is not None

    @property
    def rows(self) -> int:
        """How many rows of a batch the draft takes: 1, or 2 with an opponent."""
        return 1 if self.opponent is None else 2

    @property
    def width(self) -> int:
        """Number of tokens of its longest prompt."""
        return max(len(self.prompt), len(self.opponent.prompt) if self.opponent else 0)

    @property
    def tokens_read(self) -> int:
        """Number of tokens of its prompts, with the begun reply in each row."""
        prompts = len(self.prompt) + (len(self.opponent.prompt) if self.opponent else 0)
        return prompts + self.rows * len(self.begun)


def write(
    network: PreTrainedModel,
    drafts: Sequence[Draft],
    eos_ids: frozenset[int],
    padding_id: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda rows: None,
    partner: Partner | None = None,
) -> None:
    """Writes every draft in place: `tokens` without EOS, `end` or `stopped`, and `seconds`.

    `batch_size` is the most rows in a batch. `advance` is called after each batch with the number of finished drafts.
    With a `partner`, every draft has a `partner_prompt`, and `nats` hold the mixture's log-probabilities.
    """
    order = sorted(range(len(drafts)), key=lambda i: (drafts[i].width, drafts[i].limit, i))
    for batch in _batches([drafts[i] for i in order], batch_size):
        _write_batch(network, [draft for draft in batch if draft.limit > 0], eos_ids, padding_id, partner)
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
def _write_batch(
    network: Any, drafts: list[Draft], eos_ids: frozenset[int], padding_id: int, partner: Partner | None
) -> None:
    if not drafts:
        return
    started = time.perf_counter()
    prompts = [*(draft.prompt for draft in drafts), *(d.opponent.prompt for d in drafts if d.opponent)]
    text = architecture_of(network).continuation(network, prompts, padding_id)
    if partner is not None:
        text = partner.beside(text, [draft.partner_prompt or [] for draft in drafts])
    for step in count():
        logits = text.next_logits().float()
        own, against = logits[: len(drafts)], logits[len(drafts) :]
        chosen = _ended(own, _choose(_contrasted(own, against, drafts), drafts), drafts, eos_ids)
        nats = _log_probabilities(own, chosen, drafts)
        given = [draft.begun[step] if step < len(draft.begun) else None for draft in drafts]
        writing = [
            begun is not None or _append(draft, token, nat, eos_ids)
            for begun, draft, token, nat in zip(given, drafts, chosen, nats, strict=True)
        ]
        elapsed = time.perf_counter() - started  # `tolist` has waited for the device
        for draft, more in zip(drafts, writing, strict=True):
            draft.seconds = draft.seconds if draft.seconds or more else elapsed
        if not any(writing):
            return
        read = [token if begun is None else begun for begun, token in zip(given, chosen, strict=True)]
        text.extend([*read, *(token for token, draft in zip(read, drafts, strict=True) if draft.opponent)])
        if sum(writing) <= COMPACT_BELOW * len(drafts):
            text.keep(torch.tensor(_rows_of(drafts, writing), device=network.device))
            drafts = [draft for draft, more in zip(drafts, writing, strict=True) if more]


def _rows_of(drafts: Sequence[Draft], writing: Sequence[bool]) -> list[int]:
    """The indices of rows that go on writing: first the drafts' own rows, then the rows of their opponents."""
    contrasted = [i for i, draft in enumerate(drafts) if draft.opponent]
    opponents = [len(drafts) + row for row, i in enumerate(contrasted) if writing[i]]
    return [*(i for i, more in enumerate(writing) if more), *opponents]


def _contrasted(own: torch.Tensor, against: torch.Tensor, drafts: Sequence[Draft]) -> torch.Tensor:
    """[drafts, vocabulary]: the scores to choose by. They need no normalisation: it would only shift a whole row."""
    weights = [draft.opponent.weight for draft in drafts if draft.opponent]
    if not weights:
        return own
    scores = own.clone()
    scores[[i for i, draft in enumerate(drafts) if draft.opponent]] -= own.new_tensor(weights)[:, None] * against
    return scores


def _ended(own: torch.Tensor, chosen: Sequence[int], drafts: Sequence[Draft], eos_ids: frozenset[int]) -> Sequence[int]:
    """The chosen tokens; a contrasted draft also ends where its own row alone would end it.

    Both rows expect the end at the same place, so the contrast alone would write past it.
    """
    if not any(draft.opponent for draft in drafts):
        return chosen
    likeliest = own.argmax(dim=-1).tolist()
    return [
        by_itself if draft.opponent and by_itself in eos_ids | draft.opponent.end_ids else token
        for draft, by_itself, token in zip(drafts, likeliest, chosen, strict=True)
    ]


def _log_probabilities(own: torch.Tensor, chosen: Sequence[int], drafts: Sequence[Draft]) -> list[float]:
    """Natural log-probability of each chosen token; zeros if no draft collects them."""
    if all(draft.nats is None for draft in drafts):
        return [0.0] * len(drafts)
    tokens = torch.tensor(chosen, device=own.device)[:, None]
    nats: list[float] = (own.gather(1, tokens)[:, 0] - own.logsumexp(dim=-1)).tolist()
    return nats


def _append(draft: Draft, token: int, nats: float, eos_ids: frozenset[int]) -> bool:
    """Adds the token to the draft; returns whether it goes on writing. A draft that has ended stays as it is."""
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
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    sampled = [(i, each.chance) for i, each in enumerate(drafts) if each.chance is not None and each.temperature > 0]
    if not sampled:
        return chosen
    rows = [i for i, _ in sampled]
    temperatures = logits.new_tensor([drafts[i].temperature for i in rows])[:, None]
    cumulative = torch.softmax(logits[rows] / temperatures, dim=-1).double().cumsum(dim=-1)
    draws = cumulative.new_tensor([chance.random() for _, chance in sampled])[:, None]
    drawn = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0].tolist()
    for i, token in zip(rows, drawn, strict=True):
        chosen[i] = min(token, logits.shape[1] - 1)
    return chosen
