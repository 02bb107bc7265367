"""How likely a model finds given targets: log-probabilities of target tokens, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmark.student.batch import MicroBatch, collate
from benchmark.student.encoding import EncodedExample
from benchmark.types import Term

EVERY_TOKEN = {"all": Term(frozenset({"*"}))}


def target_log_probabilities(
    nats: Callable[[MicroBatch], torch.Tensor],
    encoded: Sequence[EncodedExample],
    padding_id: int,
    batch_size: int,
    device: torch.device,
) -> list[tuple[float, ...]]:
    """Per example, in order, the natural log-probability of every target token.

    `nats` gives the negative log-likelihoods [N] of a micro-batch's response tokens. Equal examples are equal texts, so
    one of them in a batch has the numbers of all.
    """
    order = sorted(range(len(encoded)), key=lambda i: encoded[i].length)
    scores: list[tuple[float, ...]] = [()] * len(encoded)
    for start in range(0, len(order), batch_size):
        cut = order[start : start + batch_size]
        step = collate([encoded[i] for i in cut], EVERY_TOKEN, padding_id, micro_batch_tokens=10**9)
        [batch] = step.to(device).micro_batches
        of_tokens = (-nats(batch)).tolist()
        by_row: list[list[float]] = [[] for _ in batch.examples]
        for row, value in zip(batch.example_of.tolist(), of_tokens, strict=True):
            by_row[row].append(value)
        of_example = dict(zip(batch.examples, map(tuple, by_row), strict=True))
        for i in cut:
            scores[i] = of_example[encoded[i].example]
    return scores
