"""What the tests of methods on tensors share: cells that die and go on, steps as they really happened, slow logits."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmark.axes.annotation import HumanLabels
from benchmark.cell.cell import Cell
from benchmark.conformance.miniature import teacher_source
from benchmark.contract import (
    AskModels,
    Context,
    DataPolicy,
    Loss,
    RememberingLoss,
    Requirements,
    StepModel,
    StepState,
)
from benchmark.records.journal import as_json
from benchmark.student.batch import MicroBatch
from benchmark.student.encoding import EncodedExample
from benchmark.student.settings import Optimization
from benchmark.student.student import Student
from benchmark.types import Annotation, Json, Pick, Term, TrainingExample, Usage
from tests.corridor.corridor_parts import UNSEEN, Killed, Ran, fingerprint, run

EVERY_STEP = "trainer.checkpoint_minutes=0"
"""A checkpoint after every step, where a data policy's supply allows one."""
ONE_GROUP, WHOLE_STEP = "trainer.micro_batch_tokens=1", "trainer.micro_batch_tokens=1000000"
"""The finest and the coarsest cut of a step into micro-batches."""
UNCLIPPED = "optimization.gradient_clip=null"


# --- parts and models to work with -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkedSolutions(HumanLabels):
    """The dataset's own solutions as rationales: for cells whose teacher shows distributions and writes nothing."""

    rationale: bool = True
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        return [replace(row, kind="rationale") for row in await super().annotate(pick, context, ask)]


TEACHER = replace(teacher_source(), initializer_range=0.5)
"""Sharp enough for its distributions to differ visibly from the student's."""


def model_folder(
    folder: Path, more_rows: int = 0, tokenizer: PreTrainedTokenizerBase | None = None, seed: int = 5
) -> Path:
    """A Hugging Face folder of a tiny Llama; `more_rows` pad its vocabulary with rows that no token has."""
    network: Any = TEACHER.network(seed)
    if more_rows:
        rows = len(TEACHER.tokenizer())
        network.resize_token_embeddings(rows + more_rows, mean_resizing=False)
        with torch.no_grad():  # large, so that a softmax over them would show
            network.get_output_embeddings().weight[rows:] = 3.0
    network.save_pretrained(folder)
    (tokenizer or TEACHER.tokenizer()).save_pretrained(folder)
    return folder


def live_teacher(folder: Path) -> tuple[str, ...]:
    """The overrides that make a model folder the teacher."""
    return ("teacher=transformers", f"teacher.path={folder}", "teacher.max_new_tokens=4")


# --- losses that stand around another --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Around:
    """A loss that leaves everything to another one."""

    inner: Loss

    @property
    def data_policy(self) -> DataPolicy:
        return self.inner.data_policy

    @property
    def settings(self) -> Mapping[str, float]:
        return self.inner.settings

    def requires(self) -> Requirements:
        return self.inner.requires()

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        return self.inner.terms(of_format, settings)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        return self.inner.values(batch, student, state)

    def remembered(self, memory: Json, values: Mapping[str, float], state: StepState) -> Json:
        return self.inner.remembered(memory, values, state) if isinstance(self.inner, RememberingLoss) else None


@dataclass(frozen=True)
class Dying(Around):
    """Dies when it has seen `after` optimiser steps of this attempt, over all its rounds."""

    after: int = 0
    seen: list[int] = field(default_factory=list, metadata=UNSEEN)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        if self.seen[-1:] != [state.step]:
            self.seen.append(state.step)
        if len(self.seen) > self.after:
            raise Killed
        return super().values(batch, student, state)


@dataclass(frozen=True)
class Batch:
    """A micro-batch as the loss saw it."""

    examples: tuple[TrainingExample, ...]
    values: dict[str, float]
    settings: dict[str, float]
    extra: tuple[float, ...]


@dataclass(frozen=True)
class Watching(Around):
    """Keeps every micro-batch with the values of its terms; `extra` names what to keep of the data policy's numbers."""

    extra: str = ""
    batches: list[Batch] = field(default_factory=list, metadata=UNSEEN)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        found = super().values(batch, student, state)
        numbers = {name: float(value.detach()) for name, value in found.items()}
        extra = tuple(batch.extra(self.extra).tolist()) if self.extra else ()
        self.batches.append(Batch(batch.examples, numbers, dict(state.settings), extra))
        return found


# --- a cell that dies and goes on ------------------------------------------------------------------------------------


def with_loss(cell: Cell, loss: Loss) -> Cell:
    """The cell with another loss."""
    return replace(cell, method=replace(cell.method, loss=loss))


def outcome(ran: Ran) -> dict[str, Any]:
    """Everything of a finished cell that has to be equal bit by bit, clocks left out."""
    result = ran.result
    return {
        "weights": fingerprint(ran.cell_run.student),
        "predictions": ran.table("predictions"),
        "annotations": ran.table("annotations"),
        "stages": ran.table("stages"),
        "rounds": result["rounds"],
        "counters": result["counters"],
        "train": {name: number for name, number in result["train"].items() if name != "seconds"},
        **as_json(ran.cell_run.remembered.state_dict()),
    }


def killed_after(cell: Cell, folder: Path, steps: int) -> None:
    """One attempt that dies when it has trained that many steps."""
    with pytest.raises(Killed):
        run(with_loss(cell, Dying(cell.method.loss, steps)), folder)


def killed_and_gone_on(make: Callable[[], Cell], folder: Path, deaths: Sequence[int]) -> Ran:
    """A cell whose attempts die one after the other, each after its number of steps, before the last one ends."""
    for steps in deaths:
        killed_after(make(), folder, steps)
    return run(make(), folder)


# --- steps as they happened ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedStep:
    """One optimiser step of a real fit: the weights before it, what it trained on, its terms, and its gradient.

    `fresh` says that the optimiser remembered nothing before it.
    """

    weights: Mapping[str, torch.Tensor]
    batches: tuple[Batch, ...]
    gradient: torch.Tensor
    fresh: bool

    @property
    def examples(self) -> list[TrainingExample]:
        return [example for batch in self.batches for example in batch.examples]

    @property
    def settings(self) -> dict[str, float]:
        return self.batches[0].settings

    @property
    def values(self) -> dict[str, float]:
        """Each term's value over the whole step."""
        names = dict.fromkeys(name for batch in self.batches for name in batch.values)
        return {name: sum(batch.values.get(name, 0.0) for batch in self.batches) for name in names}

    def student(self, ran: Ran) -> Student:
        """The student as it was before the step, with a network of its own."""
        now = ran.cell_run.student
        network = copy.deepcopy(now.network)
        network.load_state_dict(self.weights)
        return replace(now, network=network, counters=Counter(), usage=Usage())


@dataclass(frozen=True)
class WatchedOptimization(Optimization):
    """Writes a `TrainedStep` before every step of the optimiser."""

    batches: list[Batch] = field(default_factory=list)
    steps: list[TrainedStep] = field(default_factory=list)

    def optimiser(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        optimiser = super().optimiser(network)

        def write(*_: Any) -> None:
            weights = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
            self.steps.append(TrainedStep(weights, tuple(self.batches), gradient_of(network), not optimiser.state))
            self.batches.clear()

        optimiser.register_step_pre_hook(write)
        return optimiser


def watched(cell: Cell, folder: Path, extra: str = "") -> tuple[Ran, list[TrainedStep]]:
    """The cell run through the corridor, and every optimiser step that Lightning took in it."""
    loss = Watching(cell.method.loss, extra)
    optimization = WatchedOptimization(**asdict(cell.optimization), batches=loss.batches)
    ran = run(replace(with_loss(cell, loss), optimization=optimization), folder)
    return ran, optimization.steps


def gradient_of(network: torch.nn.Module) -> torch.Tensor:
    """The gradients that the weights hold, in one row."""
    return torch.cat(
        [(torch.zeros_like(w) if w.grad is None else w.grad).detach().ravel().clone() for w in network.parameters()]
    )


def gradient(network: PreTrainedModel, value: torch.Tensor) -> torch.Tensor:
    """All of the network's gradients of `value` in one row."""
    network.zero_grad()
    value.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    return gradient_of(network)


def assert_as_by_hand(step: TrainedStep, student: Student, by_hand: Mapping[str, torch.Tensor]) -> None:
    """Values and gradient of a step are those of a computation by hand, made with the weights before it."""
    values = {name: float(value.detach()) for name, value in by_hand.items()}
    assert step.values == pytest.approx(values, rel=1e-4, abs=1e-6), f"in training {step.values}, by hand {values}"
    expected = gradient(student.network, torch.stack(list(by_hand.values())).sum())
    assert close(step.gradient, expected), f"gradients differ by up to {(step.gradient - expected).abs().max():.2g}"


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal up to rounding, which grows with the largest of the numbers."""
    return bool(torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6 * (1 + float(theirs.abs().max()))))


# --- the slow way ----------------------------------------------------------------------------------------------------


def target_logits(network: PreTrainedModel, row: EncodedExample) -> torch.Tensor:
    """[target tokens, vocabulary]: from the whole model's logits over one sequence alone, without padding."""
    logits = network(input_ids=torch.tensor([[*row.prompt, *row.target]])).logits[0]
    whole: torch.Tensor = logits[len(row.prompt) - 1 : -1].float()
    return whole


def nats(logits: torch.Tensor, row: EncodedExample) -> torch.Tensor:
    """[target tokens]: -log p of each."""
    return torch.stack([-torch.log_softmax(z, -1)[token] for z, token in zip(logits, row.target, strict=True)])


@lru_cache(maxsize=4)
def network_in(folder: Path) -> PreTrainedModel:
    """The model in a folder, loaded without the engine."""
    from transformers import AutoModelForCausalLM

    network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    network.train(False)
    return network
