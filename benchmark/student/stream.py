"""Turns a curriculum's stages into optimiser steps: order, batches, data policy, and encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from benchmark.contract import Context, Method
from benchmark.records.evidence import TrainedStage
from benchmark.student import ranks
from benchmark.student.batch import Step, collate
from benchmark.student.encoding import EncodedExample
from benchmark.student.frozen import Frozen
from benchmark.student.mixing import Partner
from benchmark.student.monitors import StepMonitors
from benchmark.student.remembered import LossMemory
from benchmark.student.settings import Optimization
from benchmark.student.student import Student
from benchmark.tasks.guard import gold_closed
from benchmark.types import Json, Reply, Request, Stage, Term, TrainingExample


def untimed(phase: str) -> AbstractContextManager[None]:
    """Counts nothing."""
    return nullcontext()


@dataclass
class FitState:
    """The state of a fit, as losses and data policies see it (`contract.StepState`)."""

    total_steps: int
    """Optimiser steps of the whole fit."""
    student: Student
    """The student that is being trained."""
    make_rng: Callable[..., np.random.Generator]
    """Makes a random generator from a key."""
    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    """Models with fixed weights, by their names in `Requirements.distributions`."""
    step: int = 0
    """Optimiser steps done in this fit."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """The loss settings of the running stage, defaults included."""
    prepared: Any = None
    """What the loss prepared before this fit; None for a loss that prepares nothing."""
    loss_memory: LossMemory = field(default_factory=LossMemory)
    """What the loss remembers of the steps so far."""
    monitors: StepMonitors | None = None
    """Where the loss may show more about the running step; None in a step that is not logged."""
    round_index: int = 0
    """The index of the round that the fit belongs to."""
    steps_before: int = 0
    """Optimiser steps of all earlier rounds: curves go on behind them."""
    during: Callable[[str], AbstractContextManager[None]] = untimed
    """Counts the seconds of a phase inside of the fit."""

    @property
    def memory(self) -> Json:
        """What the loss remembers; None before the first step, and for a loss that remembers nothing."""
        return self.loss_memory.value

    def mixed_text(self, requests: Sequence[Request], frozen: str, share: float, key: str) -> list[Reply]:
        """One reply per request by the student and a frozen model together."""
        other = self.frozen[frozen]
        return self.student.mixed_text(requests, Partner(other.model, share, other.vocabulary), key)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A new generator; it depends on the cell's seed, the loss axis, the round and the key."""
        return self.make_rng(*key)


@dataclass
class Position:
    """The position of a stream between two supplies of its data policy; enough to continue from there."""

    stage: int = 0
    """The index of the running stage."""
    first: int = 0
    """The step at which that stage began."""
    drawn: int = 0
    """How many batches that stage has drawn."""
    validated: int | None = None
    """The step of the last validation; None before the first."""


@dataclass(frozen=True)
class Validation:
    """Validation of the student during training."""

    every_n_steps: int | None
    """Optimiser steps from one validation to the next; None for no validation."""
    measure: Callable[[int], Mapping[str, float]]
    """Gets the number of steps done so far and returns the metrics by name."""


NO_VALIDATION = Validation(None, lambda step: {})


class StepStream(IterableDataset[Step]):
    """All optimiser steps of one fit, made one by one, so that the curriculum sees the student before each stage.

    Args:
        method: gives the format, the curriculum and the loss with its data policy.
        examples: the training examples that the format made.
        optimization: groups per step and number of steps.
        micro_batch_tokens: the most tokens in a micro-batch, padding included.
        context: the curriculum's context.
        state: the state of the fit; iterating updates its `step` and `settings`.
        validation: how often the student is validated, and by what; never by default.
        write_down: stores a new stage and returns it as it will be read later; the default returns it unchanged.
    """

    def __init__(
        self,
        method: Method,
        examples: Sequence[TrainingExample],
        optimization: Optimization,
        micro_batch_tokens: int,
        context: Context,
        state: FitState,
        validation: Validation = NO_VALIDATION,
        write_down: Callable[[Stage], Stage] = lambda stage: stage,
    ) -> None:
        self.method = method
        self.examples = examples
        self.optimization = optimization
        self.micro_batch_tokens = micro_batch_tokens
        self.context = context
        self.state = state
        self.validation = validation
        self.write_down = write_down
        self.encoded: dict[TrainingExample, EncodedExample] = {}
        self.stages: list[Stage] = []
        self.position = Position()
        self.between_supplies = True

    def __len__(self) -> int:
        return self.optimization.max_steps

    def standing(self) -> Json | None:
        """The stream's position after its last step, as JSON; None between two steps that were supplied together."""
        if not self.between_supplies:
            return None
        policy = self.method.loss.data_policy.state_dict()
        position, memory = asdict(self.position), self.state.memory
        return {"step": self.state.step + 1, "position": position, "policy": policy, "memory": memory}

    def resume(self, standing: Json, stages: Sequence[Stage]) -> None:
        """Continues from the position that `standing` returned; `stages` are the stages begun by then."""
        self.state.step = standing["step"]
        self.position = Position(**standing["position"])
        self.stages = list(stages[: self.position.stage + 1])
        self.method.loss.data_policy.load_state_dict(standing["policy"])
        self.state.loss_memory.value = standing["memory"]

    def __iter__(self) -> Iterator[Step]:
        for done in self.stages[: self.position.stage]:
            self.encode(done.examples)
        while (stage := self._next_stage()) is not None:
            yield from self._stage(stage, self._last_step(stage))
            self.position.stage += 1
            self.position.first, self.position.drawn = self.state.step, 0

    def _next_stage(self) -> Stage | None:
        """The running stage of an earlier attempt, if there is one, else the curriculum's next stage."""
        number = self.position.stage
        if number < len(self.stages):
            return self.stages[number]
        curriculum = self.method.curriculum
        with self.state.during("curriculum"), gold_closed("curriculum", curriculum.requires().gold):
            stage = curriculum.next_stage(self.stages, self.examples, self.context)
        if stage is None:
            return None
        if not stage.examples:
            raise ValueError(f"stage {number} of the curriculum has no examples")
        unknown = sorted(set(stage.settings) - set(self.method.loss.settings))
        if unknown:
            raise ValueError(f"stage {number} sets {', '.join(unknown)}, which this loss does not know")
        self.stages.append(self.write_down(stage))
        return self.stages[number]

    def trained(self) -> tuple[TrainedStage, ...]:
        """The stages of the finished fit, for the record."""
        rows, first, share = [], 0, 0.0
        for number, stage in enumerate(self.stages):
            share += stage.share
            last = round(self.optimization.max_steps * share)
            settings = {**self.method.loss.settings, **stage.settings}
            groups = tuple(dict.fromkeys(example.group for example in stage.examples))
            rows.append(
                TrainedStage(
                    round=self.state.round_index,
                    stage=number,
                    first_step=first,
                    steps=last - first,
                    examples=len(stage.examples),
                    groups=len(groups),
                    order=groups,
                    shuffle=stage.shuffle,
                    fresh_optimiser=stage.fresh_optimiser,
                    settings={name: float(value) for name, value in settings.items()},  # as they are read back
                    memory=stage.memory,
                )
            )
            first = last
        return tuple(rows)

    def _last_step(self, stage: Stage) -> int:
        """The step at which the stage ends."""
        share = sum(earlier.share for earlier in self.stages[: self.position.stage]) + stage.share
        if share > 1 + 1e-6:
            raise ValueError(
                f"the shares of the curriculum's first {self.position.stage + 1} stages add up to {share:.3f}, above 1"
            )
        return round(self.optimization.max_steps * share)

    def _stage(self, stage: Stage, last: int) -> Iterator[Step]:
        """The steps up to `last`. The learning rate follows the stage if its optimiser is fresh, else the whole fit."""
        first, total = self.position.first, self.optimization.max_steps
        self.state.settings = {**self.method.loss.settings, **stage.settings}
        terms = self.method.loss.terms(self.method.format.terms(), self.state.settings)
        self.encode(stage.examples)
        drawn = self._drawn(stage, self.position.stage)
        for _ in range(self.position.drawn):
            next(drawn)
        while self.state.step < last:
            self._validate_where_due()
            examples_drawn = next(drawn)
            with self.state.during("data_policy"):
                supplied = list(self.method.loss.data_policy.supply(examples_drawn, self.state))
            supplied = supplied[: last - self.state.step]
            self.position.drawn += 1
            if not supplied:
                raise ValueError(f"{type(self.method.loss.data_policy).__name__} supplied nothing to train on")
            for number, examples in enumerate(supplied, 1):
                _refuse_tasks_without_term(examples, terms)
                encoded = self._supplied(examples)
                step = collate(
                    encoded,
                    terms,
                    self.state.student.padding_id,
                    ranks.micro_batch_tokens(self.micro_batch_tokens, sum(each.length for each in encoded)),
                    self.state.settings,
                    stage.fresh_optimiser and self.state.step == first,
                )
                at = self.state.step
                # The middle of the step, so that neither the first nor the last one has a learning rate of 0.
                progress = (at - first + 0.5) / (last - first) if stage.fresh_optimiser else (at + 0.5) / total
                self.between_supplies = number == len(supplied)
                yield replace(step, progress=progress)
                self.state.step += 1

    def _validate_where_due(self) -> None:
        every, last = self.validation.every_n_steps, self.position.validated
        if every is not None and (last is None or self.state.step - last >= every):
            self.position.validated = self.state.step
            self.method.loss.data_policy.validated(self.validation.measure(self.state.step))

    def encode(self, examples: Sequence[TrainingExample]) -> None:
        """Turns the examples into tokens and keeps them; each example is encoded at most once in a fit."""
        self.encoded.update(self._tokenised(examples))

    def _supplied(self, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        """The supplied examples as tokens; examples that the data policy made are not kept, to save memory."""
        made = self._tokenised(examples)
        return [made.get(example) or self.encoded[example] for example in examples]

    def _tokenised(self, examples: Sequence[TrainingExample]) -> dict[TrainingExample, EncodedExample]:
        """Encodes the examples that are not kept yet."""
        new = [example for example in dict.fromkeys(examples) if example not in self.encoded]
        return dict(zip(new, self.state.student.encoder.examples(new), strict=True))

    def _drawn(self, stage: Stage, number: int) -> Iterator[list[TrainingExample]]:
        """Batches of groups, pass after pass. Each pass leaves out groups that do not fill a batch, others every time.

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
    """Raises ValueError for examples that no term of the loss covers: they would silently train nothing."""
    for task in sorted({example.task for example in examples}):
        if not any(term.covers(task) for term in terms.values()):
            raise ValueError(f"no term of the loss is about task {task!r}; the terms are {', '.join(sorted(terms))}")
