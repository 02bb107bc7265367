"""The contract of a loss: what it compares, where its examples come from, and what a step shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from benchmark.contract.axes import Part
from benchmark.contract.language_models import FrozenModel, StepModel, TextModel
from benchmark.types import Json, Reply, Request, Term, TrainingExample

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.student.batch import MicroBatch


Compute = Callable[["MicroBatch"], "tuple[np.ndarray, Mapping[str, np.ndarray]]"]
"""Gives ([N, ...] numbers of the N target tokens of a micro-batch; by name [N] numbers whose mean is noted)."""


class Monitors(Protocol):
    """Takes numbers about a step that are no part of its loss."""

    def add(self, sums: Mapping[str, torch.Tensor], count: int) -> None:
        """Adds sums over `count` positions of a micro-batch; loggers get `monitor/NAME`, the mean over the step."""
        ...


class StepState(Protocol):
    """What a loss and its data policy may know about the current optimiser step."""

    @property
    def step(self) -> int:
        """Optimiser steps done in this fit."""
        ...

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole fit."""
        ...

    @property
    def settings(self) -> Mapping[str, float]:
        """The loss's settings in this stage: its defaults, with the stage's own values over them."""
        ...

    @property
    def student(self) -> TextModel:
        """The student as it is now, to generate and score text."""
        ...

    @property
    def frozen(self) -> Mapping[str, FrozenModel]:
        """The frozen models, under the names in `Requirements.distributions`."""
        ...

    def mixed_text(self, requests: Sequence[Request], frozen: str, share: float, key: str) -> list[Reply]:
        """One reply per request, in order, each token drawn at temperature 1 from two next-token distributions.

        The frozen model of this name has `share` of the mixture, in [0, 1], and the student the rest. `key` is as in
        `TextModel.generate`. Both models read prompt and text, and it fits both windows. Raises ValueError for requests
        that are not at temperature 1.
        """
        ...

    @property
    def prepared(self) -> Any:
        """What `PreparingLoss.prepare` returned before this fit; None for other losses."""
        ...

    @property
    def memory(self) -> Json:
        """What `RememberingLoss.remembered` returned after the step before; None at first, and for other losses."""
        ...

    @property
    def monitors(self) -> Monitors | None:
        """Where a loss may show more about this step; None in a step that no logger sees: compute nothing for it.

        What is added must draw no random number and leave no gradient, since a step's weights may not depend on it.
        """
        ...

    def rng(self, *key: str | int) -> np.random.Generator:
        """A new random generator from (seed, axis, round, key), the same on all ranks."""
        ...


class DataPolicy(Protocol):
    """Where the examples of an optimiser step come from: the drawn examples, the student's own text, a replay buffer.

    It alone may have a state, in fields marked `init=False` and `metadata={"identity": False}`; a loss has a memory
    (`RememberingLoss`). The state starts anew with each initial student, and is kept if a round continues training
    (`Round.restart=False`). A policy that only trains on given text says so by a class attribute `writes_text = False`;
    any other one is taken to write new text, for which nothing can be stored.
    """

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """The examples of one or more optimiser steps, all made before the first of these steps."""
        ...

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Receives metric -> value: `accuracy` or the task's own metric, and what `ReadsCrossEntropy` adds.

        Called before step 1 and every `optimization.validation_every_n_steps` steps.
        """
        ...

    def state_dict(self) -> dict[str, Json]:
        """Its state as plain JSON values, complete enough to resume exactly after an interruption."""
        ...

    def load_state_dict(self, state: Mapping[str, Json]) -> None:
        """Restores the state that `state_dict` returned."""
        ...


CROSS_ENTROPY = "cross_entropy"
"""The name under which `DataPolicy.validated` gets the student's loss on the validation questions."""


@runtime_checkable
class ReadsCrossEntropy(DataPolicy, Protocol):
    """A data policy whose `validated` also gets `CROSS_ENTROPY`: the student's loss on the validation questions.

    In nats per token, over what the format would train on if people had annotated these questions. Without such a
    policy it is not computed.
    """

    @property
    def reads_cross_entropy(self) -> bool:
        """Whether it wants the number."""
        ...


@runtime_checkable
class Loss(Part, Protocol):
    """How the student is compared with the target or with the distribution of a frozen model."""

    @property
    def data_policy(self) -> DataPolicy:
        """Where the examples of an optimiser step come from."""
        ...

    @property
    def settings(self) -> Mapping[str, float]:
        """The settings that a stage may change: name -> default."""
        ...

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """Name -> term of this loss, made from the terms of the format.

        Raises ValueError for a format that it cannot train, and says which one to choose; the plan shows it.
        """
        ...

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term -> scalar `sum(batch.scale[term] * value)`; the scale holds coefficient, weights and denominator."""
        ...


class KeptSignals(Protocol):
    """What a frozen model gave for every target token of known examples: computed once, and read in every step."""

    def of(self, examples: Sequence[TrainingExample]) -> list[np.ndarray]:
        """Per example its [tokens, ...] numbers, EOS last.

        Raises ValueError that names an example that was not prepared, or not with this prompt or target.
        """
        ...


@runtime_checkable
class RememberingLoss(Loss, Protocol):
    """A loss that changes with how training goes. The engine keeps its memory, as long as the data policy's state."""

    def remembered(self, memory: Json, values: Mapping[str, float], state: StepState) -> Json:
        """The memory after an optimiser step, as plain JSON values; `values` are the step's terms by name.

        `memory` is the one before the step, None before the first; the next step reads the result as
        `StepState.memory`. The result must follow from the arguments alone.
        """
        ...


class Preparation(Protocol):
    """What a loss may use to prepare before a fit."""

    @property
    def frozen(self) -> Mapping[str, FrozenModel]:
        """The frozen models, under the names in `Requirements.distributions`."""
        ...

    @property
    def earlier(self) -> Any:
        """What `prepare` returned before the cell's last fit; None before the first, and after an interruption."""
        ...

    def batches(self, examples: Sequence[TrainingExample]) -> Iterable[MicroBatch]:
        """Micro-batches with all different examples, each once, in tokens of the student; in no given order."""
        ...

    def keep_in_memory(
        self, model: str, examples: Sequence[TrainingExample], compute: Compute, bytes_per_token: int, most_gb: float
    ) -> KeptSignals:
        """What a frozen model gives for the examples; `earlier`, if this returned it, is brought up to date.

        Raises ValueError with both sizes, before any work, if it would fill more than `most_gb` (in 10^9 bytes).
        """
        ...

    def keep_on_disk(
        self,
        model: str,
        examples: Sequence[TrainingExample],
        compute: Compute,
        settings: Mapping[str, Json],
        row: np.dtype,
    ) -> KeptSignals:
        """The same, from files that all cells of the results folder share, and that an interruption leaves whole.

        `settings` are what the numbers depend on beside the model; `row` is the type of the numbers of one token.
        Raises DataError for files that are damaged, or were made with another model or tokenizer.
        """
        ...


@runtime_checkable
class PreparingLoss(Loss, Protocol):
    """A loss that computes something once for its cell, such as the teacher's signals, and reads it in every step."""

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> Any:
        """The value of `StepState.prepared` in the fit that begins; `examples` are what the format made for it.

        Called before every fit. Take from `preparation.earlier` what is there, so that a cell of many rounds computes
        nothing twice. The value must follow from the arguments alone: after an interruption it is made again.
        A data policy may train on examples that are not among these.
        """
        ...
