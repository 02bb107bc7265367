"""From a curriculum's stages to optimiser steps: order, batches, the data policy, and tokens made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count

import numpy as np
from torch.utils.data import IterableDataset

from benchmark.contract import Context, Method
from benchmark.student.batch import Step, collate, is_about
from benchmark.student.encoding import EncodedExample
from benchmark.student.frozen import Frozen
from benchmark.student.settings import Optimization
from benchmark.student.student import Student
from benchmark.types import Json, Stage, Term, TrainingExample


@dataclass
class FitState:
    """Where training stands, for losses and data policies."""

    total_steps: int
    student: Student
    make_rng: Callable[..., np.random.Generator]
    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    step: int = 0
    settings: Mapping[str, float] = field(default_factory=dict)

    def rng(self, *key: str | int) -> np.random.Generator:
        """A generator made anew from the cell's seed, the loss axis, the round and the key."""
        return self.make_rng(*key)


@dataclass
class Position:
    """Where a stream stands between two supplies of its data policy: what it takes to go on there.

    `stage` is running since step `first` and has drawn `drawn` batches; `validated` is the step of the last validation.
    """

    stage: int = 0
    first: int = 0
    drawn: int = 0
    validated: int | None = None


@dataclass(frozen=True)
class Validation:
    """How often the student is validated inside training (None is never); `measure` is told the steps done so far."""

    every_n_steps: int | None
    measure: Callable[[int], Mapping[str, float]]


NO_VALIDATION = Validation(None, lambda step: {})


class StepStream(IterableDataset[Step]):
    """All optimiser steps of one fit, made one by one, so that a stage can look at the student that it meets."""

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
        """Where it stands after the step that it gave last; None inside of what a data policy supplied at once."""
        if not self.between_supplies:
            return None
        policy = self.method.loss.data_policy.state_dict()
        return {"step": self.state.step + 1, "position": asdict(self.position), "policy": policy}

    def go_on(self, standing: Json, stages: Sequence[Stage]) -> None:
        """Takes the place that `standing` told, with the stages that were begun by then."""
        self.state.step = standing["step"]
        self.position = Position(**standing["position"])
        self.stages = list(stages[: self.position.stage + 1])
        self.method.loss.data_policy.load_state_dict(standing["policy"])

    def __iter__(self) -> Iterator[Step]:
        for done in self.stages[: self.position.stage]:
            self.encode(done.examples)
        while (stage := self._next_stage()) is not None:
            yield from self._stage(stage, self._last_step(stage))
            self.position.stage += 1
            self.position.first, self.position.drawn = self.state.step, 0

    def _next_stage(self) -> Stage | None:
        """The running stage where an earlier attempt left one, else the curriculum's next."""
        number = self.position.stage
        if number < len(self.stages):
            return self.stages[number]
        stage = self.method.curriculum.next_stage(self.stages, self.examples, self.context)
        if stage is None:
            return None
        if not stage.examples:
            raise ValueError(f"stage {number} of the curriculum has no examples")
        unknown = sorted(set(stage.settings) - set(self.method.loss.settings))
        if unknown:
            raise ValueError(f"stage {number} sets {', '.join(unknown)}, which this loss does not know")
        self.stages.append(self.write_down(stage))
        return self.stages[number]

    def _last_step(self, stage: Stage) -> int:
        """The step at which the stage ends."""
        share = sum(earlier.share for earlier in self.stages[: self.position.stage]) + stage.share
        if share > 1 + 1e-6:
            raise ValueError(
                f"the curriculum's {self.position.stage + 1} stages share {share:.3f} of the steps, more than all"
            )
        return round(self.optimization.max_steps * share)

    def _stage(self, stage: Stage, last: int) -> Iterator[Step]:
        """The steps up to `last`; the learning rate lives as long as the stage after a fresh start, else as the fit."""
        first, total = self.position.first, self.optimization.max_steps
        self.state.settings = {**self.method.loss.settings, **stage.settings}
        terms = self.method.loss.terms(self.method.format.terms(), self.state.settings)
        self.encode(stage.examples)
        drawn = self._drawn(stage, self.position.stage)
        for _ in range(self.position.drawn):
            next(drawn)
        while self.state.step < last:
            self._validate_where_due()
            supplied = list(self.method.loss.data_policy.supply(next(drawn), self.state))[: last - self.state.step]
            self.position.drawn += 1
            if not supplied:
                raise ValueError(f"{type(self.method.loss.data_policy).__name__} supplied nothing to train on")
            for number, examples in enumerate(supplied, 1):
                _refuse_tasks_without_term(examples, terms)
                step = collate(
                    self._supplied(examples),
                    terms,
                    self.state.student.padding_id,
                    self.micro_batch_tokens,
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
        """Keeps the examples as tokens, each tokenised at most once in a fit."""
        self.encoded.update(self._tokenised(examples))

    def _supplied(self, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        """What a data policy supplied, as tokens; text made on the way is not kept, or it would pile up."""
        made = self._tokenised(examples)
        return [made.get(example) or self.encoded[example] for example in examples]

    def _tokenised(self, examples: Sequence[TrainingExample]) -> dict[TrainingExample, EncodedExample]:
        """Those of the examples that are not kept yet."""
        new = [example for example in dict.fromkeys(examples) if example not in self.encoded]
        return dict(zip(new, self.state.student.encoder.examples(new), strict=True))

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
