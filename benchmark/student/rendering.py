"""The batch of one model with the prompts of another: each model reads its own prompt before the same target tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from benchmark.student.batch import MicroBatch
from benchmark.student.encoding import Encoder


@dataclass(frozen=True)
class RenderedBatch:
    """A micro-batch as another model reads it."""

    batch: MicroBatch
    """The same examples and target tokens in the same order, behind that model's prompts."""
    cut_prompts: int
    """The number of prompts that lost their beginning, because the model's window is too small."""


def rendered_for(batch: MicroBatch, encoder: Encoder, padding_id: int) -> RenderedBatch:
    """The batch with its prompts rendered by `encoder`: chat template, line feed, end of an encoder's text and window.

    The N target tokens, their order, groups and scales are those of `batch`, so that values of both models can be
    compared place by place. Raises ValueError if a target alone does not fit into the encoder's window.
    """
    targets = _targets(batch)
    prompts, cut_prompts = [], 0
    for ids, target in zip(encoder.prompts([each.prompt for each in batch.examples]), targets, strict=True):
        if len(target) >= encoder.max_length:
            raise ValueError(
                f"a target of {len(target)} tokens leaves no room for a prompt in a window of {encoder.max_length}; "
                "choose a model with a longer window, or lower student.max_length"
            )
        prompt, cut = encoder.cut_prompt(ids, room=len(target))
        prompts.append(prompt)
        cut_prompts += cut
    return RenderedBatch(_with_prompts(batch, prompts, targets, padding_id), cut_prompts)


def _targets(batch: MicroBatch) -> list[list[int]]:
    """The target token ids of each example."""
    counts = torch.bincount(batch.example_of, minlength=len(batch.examples)).tolist()
    return [part.tolist() for part in torch.split(batch.tokens, counts)]


def _with_prompts(
    batch: MicroBatch, prompts: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], padding_id: int
) -> MicroBatch:
    rows = [[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)]
    width = max(map(len, rows))
    lengths = torch.tensor([len(row) for row in rows])
    starts = torch.tensor([len(prompt) for prompt in prompts])
    columns = torch.cat([torch.arange(len(prompt), len(row)) - 1 for prompt, row in zip(prompts, rows, strict=True)])
    device = batch.input_ids.device
    return replace(
        batch,
        input_ids=torch.tensor([[*row, *[padding_id] * (width - len(row))] for row in rows]).to(device),
        attention_mask=(torch.arange(width)[None] < lengths[:, None]).long().to(device),
        prompt_lengths=starts.to(device),
        columns=columns.to(device),
    )
