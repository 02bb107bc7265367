"""One optimiser step as tensors: micro-batches of whole groups, and denominators counted over the whole step.

Each term of the loss is a mean over its tokens, sequences or groups in the step. `MicroBatch.scale` holds the factor of
every token (or group) in the loss: coefficient x weights / denominator. The sum of scale x value over all micro-batches
is the step's loss. It does not depend on how the step is cut into micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch

from benchmark.student.encoding import EncodedExample
from benchmark.types import Term, TrainingExample


@dataclass(frozen=True)
class MicroBatch:
    """B rows, padded on the right to T tokens, with N response tokens (EOS included) in G groups."""

    examples: tuple[TrainingExample, ...]
    """The B examples, one per row."""
    input_ids: torch.Tensor
    """[B, T] int64: prompt and response."""
    attention_mask: torch.Tensor
    """[B, T] int64: 1 on tokens, 0 on padding."""
    prompt_lengths: torch.Tensor
    """[B] int64: the number of prompt tokens of each row."""
    rows: torch.Tensor
    """[N] int64: the row of the position whose hidden state predicts each response token."""
    columns: torch.Tensor
    """[N] int64: the column of that position, one before the token. The shift by one is done here and nowhere else."""
    tokens: torch.Tensor
    """[N] int64: the response tokens, row after row."""
    example_of: torch.Tensor
    """[N] int64: the index of each response token's example."""
    group_of: torch.Tensor
    """[N] int64: the number of each response token's group, from 0 to G - 1."""
    span_of: torch.Tensor
    """[N] int64: the index of each response token's span in `span_names`."""
    span_names: tuple[str, ...]
    """The names of all spans in the batch, sorted."""
    scale: Mapping[str, torch.Tensor]
    """Term name -> factors in the loss: [N] for a mean per token or sequence, [G] per group; 0 outside the term."""

    def span(self, name: str) -> torch.Tensor:
        """[N] bool: True on the tokens of spans with that name."""
        if name not in self.span_names:
            return torch.zeros_like(self.span_of, dtype=torch.bool)
        return self.span_of == self.span_names.index(name)

    def extra(self, name: str) -> torch.Tensor:
        """[N] float32: `TrainingExample.extra[name]`, one number per target token; 0 for examples without it."""
        counts = torch.bincount(self.example_of.cpu(), minlength=len(self.examples)).tolist()
        numbers = [
            (example.extra.get(name) or (0.0,) * count)[:count]  # a target that was cut lost the end of its numbers too
            for example, count in zip(self.examples, counts, strict=True)
        ]
        return torch.tensor([number for row in numbers for number in row], device=self.tokens.device)

    def split(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """[N, ...] values of response tokens, one tensor per example, in the order of `examples`."""
        counts = torch.bincount(self.example_of.cpu(), minlength=len(self.examples)).tolist()
        return torch.split(values, counts)

    def to(self, device: torch.device | str) -> MicroBatch:
        """The same batch on a device."""
        tensors: dict[str, Any] = {n: v.to(device) for n, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return replace(self, **tensors, scale={name: value.to(device) for name, value in self.scale.items()})


@dataclass(frozen=True)
class Step:
    """What one optimiser step trains on."""

    micro_batches: tuple[MicroBatch, ...]
    """All examples of the step, cut into micro-batches of whole groups."""
    settings: Mapping[str, float]
    """The loss settings of the running stage, defaults included."""
    fresh_optimiser: bool
    """Whether the optimiser's state is deleted before the step."""
    tokens: int
    """Number of prompt and response tokens, without padding."""
    response_tokens: int
    """Number of response tokens, EOS included."""
    progress: float = 0.0
    """The fraction of the optimiser's life that is over, in [0, 1); it sets the learning rate."""

    def to(self, device: torch.device | str) -> Step:
        """The same step on a device."""
        return replace(self, micro_batches=tuple(batch.to(device) for batch in self.micro_batches))


def collate(
    examples: Sequence[EncodedExample],
    terms: Mapping[str, Term],
    padding_id: int,
    micro_batch_tokens: int,
    settings: Mapping[str, float] | None = None,
    fresh_optimiser: bool = False,
) -> Step:
    """One step over all the examples: sorts groups by length and cuts them into micro-batches.

    A micro-batch has at most `micro_batch_tokens` tokens, padding included, or one group.
    """
    denominators = {name: _denominator(term, examples) for name, term in terms.items()}
    batches = tuple(
        _micro_batch(cut, terms, denominators, padding_id) for cut in _cut(_groups(examples), micro_batch_tokens)
    )
    return Step(
        micro_batches=batches,
        settings=settings or {},
        fresh_optimiser=fresh_optimiser,
        tokens=sum(example.length for example in examples),
        response_tokens=sum(len(example.target) for example in examples),
    )


def _groups(examples: Sequence[EncodedExample]) -> list[list[EncodedExample]]:
    by_group: dict[str, list[EncodedExample]] = {}
    for example in examples:
        by_group.setdefault(example.example.group, []).append(example)
    return sorted(by_group.values(), key=_longest)


def _cut(groups: Iterable[list[EncodedExample]], most_tokens: int) -> list[list[EncodedExample]]:
    """Greedy: a group opens a new micro-batch where it would make the padded area too large."""
    cuts: list[list[EncodedExample]] = []
    for group in groups:
        joined = [*cuts[-1], *group] if cuts else group
        if cuts and len(joined) * _longest(joined) <= most_tokens:
            cuts[-1] = joined
        else:
            cuts.append(list(group))
    return cuts


def _longest(examples: Sequence[EncodedExample]) -> int:
    return max(example.length for example in examples)


def _counts(term: Term, example: EncodedExample) -> list[bool]:
    """Per target token, whether the term counts it. Weight 0 makes a token context; other weights do not matter."""
    if not term.covers(example.example.task):
        return [False] * len(example.target)
    return [
        weight != 0 and (term.span is None or span == term.span)
        for weight, span in zip(example.weights, example.spans, strict=True)
    ]


def _denominator(term: Term, examples: Sequence[EncodedExample]) -> int:
    counted = [(example.example.group, sum(_counts(term, example))) for example in examples]
    if term.per == "token":
        return sum(count for _, count in counted)
    if term.per == "sequence":
        return sum(count > 0 for _, count in counted)
    return len({group for group, count in counted if count > 0})


def _micro_batch(
    examples: Sequence[EncodedExample], terms: Mapping[str, Term], denominators: Mapping[str, int], padding_id: int
) -> MicroBatch:
    width = _longest(examples)
    input_ids = torch.full((len(examples), width), padding_id, dtype=torch.long)
    attention_mask = torch.zeros((len(examples), width), dtype=torch.long)
    for i, example in enumerate(examples):
        input_ids[i, : example.length] = torch.tensor([*example.prompt, *example.target])
        attention_mask[i, : example.length] = 1
    lengths = [len(example.target) for example in examples]
    group_numbers = {group: i for i, (group, _) in enumerate(groupby(examples, key=lambda e: e.example.group))}
    span_names = tuple(sorted({span for example in examples for span in example.spans}))
    example_of = torch.repeat_interleave(torch.arange(len(examples)), torch.tensor(lengths))
    group_of_example = torch.tensor([group_numbers[example.example.group] for example in examples])
    return MicroBatch(
        examples=tuple(example.example for example in examples),
        input_ids=input_ids,
        attention_mask=attention_mask,
        prompt_lengths=torch.tensor([len(example.prompt) for example in examples]),
        rows=example_of,
        columns=torch.cat([torch.arange(len(e.prompt), e.length) - 1 for e in examples]),
        tokens=torch.tensor([token for example in examples for token in example.target]),
        example_of=example_of,
        group_of=group_of_example[example_of],
        span_of=torch.tensor([span_names.index(span) for example in examples for span in example.spans]),
        span_names=span_names,
        scale={
            name: _scale(term, examples, group_of_example, denominators[name])
            for name, term in terms.items()
            if denominators[name]
        },
    )


def _scale(
    term: Term, examples: Sequence[EncodedExample], group_of_example: torch.Tensor, denominator: int
) -> torch.Tensor:
    counted = [_counts(term, example) for example in examples]
    if term.per == "group":
        present = torch.tensor([any(row) for row in counted])
        weights = torch.tensor([example.example.weight for example in examples])
        scale = torch.zeros(int(group_of_example.max()) + 1)
        # A group's weight is the mean weight of its examples in the term.
        scale.index_add_(0, group_of_example, weights * present)
        members = torch.zeros_like(scale).index_add_(0, group_of_example, present.float())
        return term.coefficient * scale / members.clamp(min=1) / denominator
    values = [
        weight * counts / (max(1, sum(row)) if term.per == "sequence" else 1)
        for example, row in zip(examples, counted, strict=True)
        for weight, counts in zip(example.weights, row, strict=True)
    ]
    return term.coefficient * torch.tensor(values) / denominator
