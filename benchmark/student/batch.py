"""One optimiser step as tensors: micro-batches of whole groups, and denominators counted over the whole step.

Each term is one mean over its tokens, sequences or groups in the step. A micro-batch carries `scale`, the factor of
every token (or group) in the loss: coefficient x weights / denominator. Summed over micro-batches this is the step's
loss, however the step is cut.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch

from benchmark.student.encoding import EncodedExample
from benchmark.types import Term, TrainingExample


@dataclass(frozen=True)
class MicroBatch:
    """B rows padded on the right to T, with N response tokens (EOS included) in G groups; `prompt_lengths` is [B].

    `rows` and `columns` [N] are the positions whose hidden state predicts `tokens` [N]: the shift by one is done
    here and nowhere else. `example_of` and `group_of` [N] number the rows and groups; `span_of` [N] indexes
    `span_names`. `scale[term]` is [N] for means per token or sequence, [G] for means per group; zero outside the term.
    """

    examples: tuple[TrainingExample, ...]
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    prompt_lengths: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    tokens: torch.Tensor
    example_of: torch.Tensor
    group_of: torch.Tensor
    span_of: torch.Tensor
    span_names: tuple[str, ...]
    scale: Mapping[str, torch.Tensor]

    def span(self, name: str) -> torch.Tensor:
        """[N] bool: the tokens of spans with that name."""
        if name not in self.span_names:
            return torch.zeros_like(self.span_of, dtype=torch.bool)
        return self.span_of == self.span_names.index(name)

    def extra(self, name: str) -> torch.Tensor:
        """[N] float32: what the data policy left with every target token; 0 where an example has no such numbers."""
        counts = torch.bincount(self.example_of.cpu(), minlength=len(self.examples)).tolist()
        numbers = [
            (example.extra.get(name) or (0.0,) * count)[:count]  # a target that was cut lost the end of its numbers too
            for example, count in zip(self.examples, counts, strict=True)
        ]
        return torch.tensor([number for row in numbers for number in row], device=self.tokens.device)

    def to(self, device: torch.device | str) -> MicroBatch:
        """The same batch on a device."""
        tensors: dict[str, Any] = {n: v.to(device) for n, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return replace(self, **tensors, scale={name: value.to(device) for name, value in self.scale.items()})


@dataclass(frozen=True)
class Step:
    """What one optimiser step trains on. `fresh_optimiser` forgets the optimiser's state before it."""

    micro_batches: tuple[MicroBatch, ...]
    settings: Mapping[str, float]
    fresh_optimiser: bool
    tokens: int
    """Real tokens, prompts included, padding not."""
    response_tokens: int
    progress: float = 0.0
    """The fraction of the optimiser's life that lies behind."""

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
    """The step over all the examples: groups sorted by length and cut into micro-batches of that many padded tokens."""
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


def is_about(term: Term, task: str) -> bool:
    """Whether a task is one of the term's; `*` in their names matches anything."""
    return any(fnmatch.fnmatchcase(task, pattern) for pattern in term.tasks)


def _counts(term: Term, example: EncodedExample) -> list[bool]:
    """Which target tokens the term is about. Weight 0 makes a token context; other weights do not change the count."""
    if not is_about(term, example.example.task):
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
    if term.per == "group":
        return len({group for group, count in counted if count > 0})
    raise ValueError(f"a term is a mean per token, sequence or group, not per {term.per!r}")


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
