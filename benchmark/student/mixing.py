"""Text of two models: each token is drawn from a mixture of their next-token distributions, and both read it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmark.student.architecture import Continuation, architecture_of
from benchmark.student.fitting import fit_requests
from benchmark.student.precision import projections_cast
from benchmark.types import Request, Usage

if TYPE_CHECKING:
    from benchmark.student.generation import Draft
    from benchmark.student.student import Student


@dataclass(frozen=True)
class Partner:
    """The second of two models that write together; it reads prompts that are rendered for it."""

    model: Student
    """The model, with weights that do not change."""
    share: float
    """Its share of the mixture, in [0, 1]; the first model has the rest."""
    vocabulary: int
    """How many token ids both models share; no other token is written."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share} of the mixture must lie in [0, 1]")

    def joins(self, drafts: Sequence[Draft], requests: Sequence[Request], max_new_tokens: int) -> None:
        """Gives the drafts of these requests its prompts, and makes each fit its window too; cuts are counted.

        Raises ValueError for a begun reply that only one of the models reads in a decoder of its own.
        """
        fits = fit_requests(self.model.encoder, requests, max_new_tokens)
        for draft, fitted in zip(drafts, fits, strict=True):
            if fitted.begun != draft.begun:
                raise ValueError("a begun reply is mixed only by two encoder-decoders, or by two decoders alone")
            self.model.counters.update(fitted.counts)
            draft.partner_prompt, draft.limit = fitted.prompt, min(draft.limit, fitted.room)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Holds its weights in its own precision inside the block."""
        with ExitStack() as around:
            if self.model.autocast is not None:
                around.enter_context(projections_cast(self.model.network, self.model.autocast))
            yield

    def beside(self, first: Continuation, prompts: Sequence[Sequence[int]]) -> Continuation:
        """Both models as one that writes; the rows of `first` and `prompts` belong together."""
        model = self.model
        own = architecture_of(model.network).continuation(model.network, prompts, model.padding_id)
        return _Mixed(self, first, own)

    def book(self, drafts: Sequence[Draft]) -> None:
        """Counts what it read and wrote."""
        self.model.usage += Usage(
            calls=len(drafts),
            prompt_tokens=sum(len(draft.partner_prompt or []) + len(draft.begun) for draft in drafts),
            completion_tokens=sum(len(draft.tokens) for draft in drafts),
        )


class _Mixed:
    """A `Continuation` whose logits are the log-probabilities of the mixture."""

    def __init__(self, partner: Partner, first: Continuation, second: Continuation) -> None:
        self.partner = partner
        self.first = first
        self.second = second

    def next_logits(self) -> torch.Tensor:
        """[rows, shared vocabulary]: natural log-probabilities of the mixture, float32."""
        model, share, shared = self.partner.model, self.partner.share, self.partner.vocabulary
        ours = self.first.next_logits()[:, :shared].float().log_softmax(-1)
        # The first model's precision stands around all of this, and is not that of the second.
        with torch.autocast(ours.device.type, dtype=model.autocast, enabled=model.autocast is not None):
            theirs = self.second.next_logits()[:, :shared]
        log_share, log_rest = (math.log(each) if each > 0 else -math.inf for each in (share, 1 - share))
        return torch.logaddexp(ours + log_rest, theirs.float().log_softmax(-1) + log_share)

    def extend(self, tokens: Sequence[int]) -> None:
        self.first.extend(tokens)
        self.second.extend(tokens)

    def keep(self, rows: torch.Tensor) -> None:
        self.first.keep(rows)
        self.second.keep(rows)
