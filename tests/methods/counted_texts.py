"""A language so small that all its texts can be counted, and models that hold a table of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, cast

import torch

from benchmark.student.batch import MicroBatch
from benchmark.types import TrainingExample

Text = tuple[int, ...]
TOKENS, END, LONGEST = 3, 2, 3


def grown(start: Text = ()) -> Iterator[Text]:
    """All texts that begin so: they end with END, or at the longest length."""
    for token in range(TOKENS):
        text = (*start, token)
        if token == END or len(text) == LONGEST:
            yield text
        else:
            yield from grown(text)


TEXTS = tuple(grown())
PREFIXES = tuple(dict.fromkeys(text[:n] for text in TEXTS for n in range(len(text))))


class Table:
    """A model that holds the logits of the next token for every beginning of a text; [beginnings, tokens]."""

    def __init__(self, seed: int, scale: float = 1.5) -> None:
        made = scale * torch.randn(len(PREFIXES), TOKENS, generator=torch.Generator().manual_seed(seed))
        self.logits = made.double().requires_grad_()

    @property
    def log_probabilities(self) -> torch.Tensor:
        return self.logits.log_softmax(-1)

    @cached_property
    def known(self) -> torch.Tensor:
        return self.log_probabilities.detach()

    def nats(self, text: Text) -> list[torch.Tensor]:
        """Per token the log-probability."""
        return [self.log_probabilities[PREFIXES.index(text[:n]), token] for n, token in enumerate(text)]

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        return [tuple(float(n.detach()) for n in self.nats(cast(Text, one.token_ids))) for one in examples]

    def hidden(self, batch: MicroBatch) -> torch.Tensor:
        places = [
            PREFIXES.index(cast(Text, one.token_ids)[:n])
            for one in batch.examples
            for n in range(len(one.token_ids or ()))
        ]
        return self.logits[places]

    def weighted_sums(self, function: Any, hidden: torch.Tensor, factors: torch.Tensor, *signals: Any) -> torch.Tensor:
        found: torch.Tensor = (function(hidden.log_softmax(-1), *signals) * factors).sum(0)
        return found

    def distributions(self, batch: MicroBatch) -> torch.Tensor:
        return self.hidden(batch).detach().log_softmax(-1)
