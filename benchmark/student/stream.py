"""From a curriculum's stages to optimiser steps: order, batches, the data policy, and tokens made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from torch.utils.data import IterableDataset

from benchmark.contract import Context, Method
from benchmark.student.batch import Step, collate, is_about
from benchmark.student.encoding import EncodedExample
from benchmark.student.settings import Optimization
from benchmark.student.student import Student
from benchmark.types import Stage, Term, TrainingExample


@dataclass
class StepState:
    """Where training stands, for losses and data policies."""

    total_steps: int
    student: Student
    make_rng: Callable[..., np.random.Generator]
    step: int = 0
    settings: Mapping[str, float] = field(default_factory=dict)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from the cell's seed, the loss axis, the round and the key."""
        return self.make_rng(*key)


class StepStream(IterableDataset[Step]):
    """All optimiser steps of one fit, made one by one, so that a stage can look at the student that it meets."""

    def __init__(
        self,
        method: Method,
        examples: Sequence[TrainingExample],
        optimization: Optimization,
        micro_batch_tokens: int,
        context: Context,
        state: StepState,
    ) -> None:
        self.method = method
        self.examples = examples
        self.optimization = optimization
        self.micro_batch_tokens = micro_batch_tokens
        self.context = context
        self.state = state
        self.encoded: dict[TrainingExample, EncodedExample] = {}

    def __len__(self) -> int:
        return self.optimization.max_steps

    def __iter__(self) -> Iterator[Step]:
        done: list[Stage] = []
        share = 0.0
        while (stage := self.method.curriculum.next_stage(done, self.examples, self.context)) is not None:
            share += stage.share
            if share > 1 + 1e-6:
                raise ValueError(
                    f"the curriculum's {len(done) + 1} stages share {share:.3f} of the steps, more than all"
                )
            if not stage.examples:
                raise ValueError(f"stage {len(done)} of the curriculum has no examples")
            last = round(self.optimization.max_steps * share)
            yield from self._stage(stage, len(done), last)
            done.append(stage)

    def _stage(self, stage: Stage, number: int, last: int) -> Iterator[Step]:
        """The steps up to `last`; the learning rate lives as long as the stage after a fresh start, else as the fit."""
        first, total = self.state.step, self.optimization.max_steps
        unknown = sorted(set(stage.settings) - set(self.method.loss.settings))
        if unknown:
            raise ValueError(f"stage {number} sets {', '.join(unknown)}, which this loss does not know")
        self.state.settings = {**self.method.loss.settings, **stage.settings}
        terms = self.method.loss.terms(self.method.format.terms(), self.state.settings)
        _refuse_tasks_without_term(stage.examples, terms)
        self.encode(stage.examples)
        drawn = self._drawn(stage, number)
        while self.state.step < last:
            before = self.state.step
            for supplied in self.method.loss.data_policy.supply(next(drawn), self.state):
                if self.state.step == last:
                    break
                step = collate(
                    self.encode(supplied),
                    terms,
                    self.state.student.padding_id,
                    self.micro_batch_tokens,
                    self.state.settings,
                    stage.fresh_optimiser and self.state.step == first,
                )
                at = self.state.step
                # The middle of the step, so that neither the first nor the last one has a learning rate of 0.
                progress = (at - first + 0.5) / (last - first) if stage.fresh_optimiser else (at + 0.5) / total
                yield replace(step, progress=progress)
                self.state.step += 1
            if self.state.step == before:
                raise ValueError(f"{type(self.method.loss.data_policy).__name__} supplied nothing to train on")

    def encode(self, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        """The examples as tokens, each tokenised at most once in a fit."""
        new = [example for example in dict.fromkeys(examples) if example not in self.encoded]
        if new:
            self.encoded.update(zip(new, self.state.student.encoder.examples(new), strict=True))
        return [self.encoded[example] for example in examples]

    def _drawn(self, stage: Stage, number: int) -> Iterator[list[TrainingExample]]:
        """Batches of groups, pass after pass; a pass drops what does not fill a batch, other groups every time.

        Batches stay random: to sort them by length saves padding but costs accuracy (docs/decisions.md). Lengths are
        sorted inside a step instead, where its micro-batches are cut.
        """
        groups: dict[str, list[TrainingExample]] = {}
        for example in stage.examples:
            groups.setdefault(example.group, []).append(example)
        ids = list(groups)
        size = min(self.optimization.batch_size, len(ids))
        waiting: list[str] = []
        for pass_number in count():
            if stage.shuffle:
                order = self.state.rng("order", number, pass_number).permutation(len(groups))
                names = [ids[i] for i in order]
            else:
                names = [*waiting, *ids]
                waiting = names[len(names) // size * size :]  # in a fixed order they would never be seen
            for start in range(0, len(names) - size + 1, size):
                yield [example for name in names[start : start + size] for example in groups[name]]


def _refuse_tasks_without_term(examples: Sequence[TrainingExample], terms: Mapping[str, Term]) -> None:
    """Raises ValueError for examples that no term of the loss is about: they would train nothing, in silence."""
    for task in sorted({example.task for example in examples}):
        if not any(is_about(term, task) for term in terms.values()):
            raise ValueError(f"no term of the loss is about task {task!r}; the terms are {', '.join(sorted(terms))}")
