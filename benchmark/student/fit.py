"""One fit: trains a student on its examples by a method, and returns a report."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from benchmark.console.progress import Advance, show_nothing
from benchmark.contract import Context, Method
from benchmark.interruption import held_back
from benchmark.processor import usable_cores
from benchmark.records.evidence import TrainedStage
from benchmark.student.checkpoint import Checkpointing, FitJournal, StopSignals
from benchmark.student.compilation import layers_compiled
from benchmark.student.frozen import Frozen
from benchmark.student.memory import StepMemory
from benchmark.student.module import StudentModule
from benchmark.student.prepared import Prepared
from benchmark.student.processes import OwnSums, fit_in_processes
from benchmark.student.remembered import LossMemory
from benchmark.student.settings import FEW_PARAMETERS, Optimization, TrainerSettings, settled
from benchmark.student.stream import NO_VALIDATION, FitState, StepStream, Validation, untimed
from benchmark.student.student import Student
from benchmark.types import TrainingExample


class RoundContext(Protocol):
    """The only thing that a fit needs from its round."""

    def for_axis(self, axis: str) -> Context:
        """The round's context for the part on one axis."""
        ...


@dataclass(frozen=True)
class FitReport:
    """What one fit did, earlier attempts at the same fit included."""

    optimiser_steps: int
    """Number of optimiser steps."""
    tokens: int
    """Number of prompt and response tokens, without padding."""
    response_tokens: int
    """Number of response tokens, EOS included."""
    seconds: float
    """Wall-clock time in seconds."""
    flops: float
    """Floating-point operations, estimated as 6 per weight and token."""
    truncated_examples: int
    """How many different examples were cut to fit the window."""
    stages: tuple[TrainedStage, ...] = ()
    """The stages of the curriculum, in order."""


class _Ticker(pl.Callback):
    """Reports every finished step to a progress display, and limits the memory that steps leave behind."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.memory = StepMemory()

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        self.advance(checkpoint["global_step"], earlier=True)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self.memory.after_step()
        self.advance(1)


def _to_compile(student: Student, frozen: Mapping[str, Frozen]) -> list[Any]:
    """The networks that a step runs, each once."""
    networks = (student.network, *(each.model.network for each in frozen.values()))
    return list({id(network): network for network in networks}.values())


def fit(
    student: Student,
    examples: Sequence[TrainingExample],
    method: Method,
    context: RoundContext,
    optimization: Optimization,
    settings: TrainerSettings,
    *,
    frozen: Mapping[str, Frozen] = MappingProxyType({}),
    prepared: Prepared | None = None,
    loss_memory: LossMemory | None = None,
    validation: Validation = NO_VALIDATION,
    journal: FitJournal | None = None,
    loggers: Sequence[Any] = (),
    advance: Advance = show_nothing,
    during: Callable[[str], AbstractContextManager[None]] = untimed,
) -> FitReport:
    """Trains the student in place for `optimization.max_steps` optimiser steps.

    Args:
        student: the student; its weights change.
        examples: the training examples that the method's format made.
        method: gives the format, the curriculum and the loss.
        context: the round's context; gives random numbers to the loss, and a context to the curriculum.
        optimization: optimiser, learning rate, groups per step and number of steps.
        settings: device, tokens per micro-batch, logging and compilation.
        frozen: models that the loss may read, by name, with weights that do not change; none by default.
        prepared: what the loss prepared for earlier fits of the cell; brought up to date here. Nothing by default.
        loss_memory: what the loss remembers of earlier fits; brought up to date here. Nothing by default.
        validation: how often the student is validated during training, and by what; never by default.
        journal: where stages and checkpoints are stored; training continues from its last checkpoint if there is one.
            None (the default) stores nothing.
        loggers: Lightning loggers of loss and learning rate; none by default.
        advance: called with the number of optimiser steps just done; does nothing by default.
        during: counts the seconds of `curriculum` and `data_policy` apart; does nothing by default.

    Raises:
        ValueError: for no examples, an invalid stage, or a curriculum whose stages do not fill the steps.
        FloatingPointError: if the loss or the norm of the gradient is not finite.
        Interrupted: if Ctrl-C or SIGTERM came; with a journal, the fit is saved after the step that was running.
    """
    _refuse_no_examples(examples, method)
    checkpoint = None if journal is None else journal.usable_checkpoint()
    ready = (prepared or Prepared()).for_fit(method.loss, examples, student, frozen, settings)
    work = FitWork(
        student=student,
        examples=examples,
        method=method,
        context=context,
        optimization=optimization,
        settings=settings,
        frozen=frozen,
        ready=ready,
        memory=loss_memory or LossMemory(),
        journal=journal,
        checkpoint=checkpoint,
        during=during,
    )
    if settings.devices > 1:
        return fit_in_processes(work, validation, loggers, advance)
    with held_back() if journal is not None else nullcontext() as signals:
        return train(work, validation, loggers, advance, signals)


@dataclass(frozen=True)
class FitWork:
    """All that one fit trains and trains on."""

    student: Student
    """Its weights change."""
    examples: Sequence[TrainingExample]
    """What the method's format made."""
    method: Method
    """Gives the format, the curriculum and the loss."""
    context: RoundContext
    """The round's context."""
    optimization: Optimization
    """Optimiser and steps."""
    settings: TrainerSettings
    """How the machine is used."""
    frozen: Mapping[str, Frozen]
    """Models that the loss may read."""
    ready: Any
    """What the loss has prepared; None for a loss that prepares nothing."""
    memory: LossMemory
    """What the loss remembers."""
    journal: FitJournal | None
    """Where stages and checkpoints are stored; None stores nothing."""
    checkpoint: Path | None
    """Where an earlier attempt's weights and position are; None to begin."""
    during: Callable[[str], AbstractContextManager[None]]
    """Counts the seconds of phases inside the fit."""


def train(
    work: FitWork, validation: Validation, loggers: Sequence[Any], advance: Advance, signals: StopSignals | None
) -> FitReport:
    """Trains in this process, alone or as one of several (`ranks`). `signals` says when to save and to stop.

    Raises as `fit` does.
    """
    started, student, frozen, settings = time.perf_counter(), work.student, work.frozen, work.settings
    journal, method, device = work.journal, work.method, student.network.device
    seconds_before = 0.0 if journal is None else journal.seconds_before
    steps = work.optimization.max_steps
    state = _initial_state(work, work.context.for_axis("loss"))
    stream = StepStream(
        method,
        work.examples,
        work.optimization,
        settings.micro_batch_tokens,
        work.context.for_axis("curriculum"),
        state,
        validation,
        (lambda stage: stage) if journal is None else (lambda stage: journal.add(stage, work.examples)),
    )
    module = StudentModule(
        student, method.loss, work.optimization, state, settings.log_every_n_steps, settings.compile_layers
    )
    callbacks: list[pl.Callback] = [_Ticker(advance)]
    if journal is not None and signals is not None:
        callbacks.append(Checkpointing(journal, stream, signals))
    with ExitStack() as around:
        around.enter_context(warnings.catch_warnings())
        around.enter_context(torch.random.fork_rng())
        for network in _to_compile(student, frozen) if settings.compile_layers else ():
            around.enter_context(layers_compiled(network))
        warnings.simplefilter("ignore")
        _trainer(work.optimization, settings, loggers, callbacks).fit(
            module,
            DataLoader(stream, batch_size=None),
            ckpt_path=work.checkpoint,
            weights_only=True,  # what it holds is tensors and text: nothing is unpickled
        )
    student.network.zero_grad()  # the last step leaves its gradients
    student.network.to(device)  # type: ignore[arg-type]  # Lightning leaves it on the CPU
    _refuse_unfilled(module.steps, steps)
    return _report(module, stream, seconds_before + time.perf_counter() - started)


def _refuse_no_examples(examples: Sequence[TrainingExample], method: Method) -> None:
    if not examples:
        raise ValueError(
            f"no training examples: format {type(method.format).__name__} could use none of the annotations"
        )


def _refuse_unfilled(steps: int, wanted: int) -> None:
    if steps != wanted:
        raise ValueError(
            f"the curriculum's stages filled {steps} of the round's {wanted} optimiser steps; their shares must add up "
            "to 1"
        )


def _initial_state(work: FitWork, context: Context) -> FitState:
    """The state before the first step; `context` is that of the loss."""
    return FitState(
        work.optimization.max_steps,
        work.student,
        context.rng,
        work.frozen,
        prepared=work.ready,
        round_index=context.round.index,
        steps_before=sum(log.optimiser_steps for log in context.history),
        during=work.during,
        loss_memory=work.memory,
    )


def _report(module: StudentModule, stream: StepStream, seconds: float) -> FitReport:
    truncated = sum(
        stream.encoded[example].truncated for example in dict.fromkeys(stream.examples) if example in stream.encoded
    )
    return FitReport(
        optimiser_steps=module.steps,
        tokens=module.tokens,
        response_tokens=module.response_tokens,
        seconds=seconds,
        flops=6.0 * module.student.parameters * module.tokens,
        truncated_examples=truncated,
        stages=stream.trained(),
    )


def _trainer(
    optimization: Optimization,
    settings: TrainerSettings,
    loggers: Sequence[Any],
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # its banner would drown ours; errors still show
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=OwnSums() if settings.devices > 1 else "auto",
        use_distributed_sampler=False,
        precision=settled(optimization.precision),
        max_epochs=1,
        max_steps=optimization.max_steps,
        logger=list(loggers) or False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )


def set_threads(settings: TrainerSettings, parameters: int) -> int:
    """Sets the number of torch's CPU threads for this cell and returns it."""
    threads = settings.threads or (1 if parameters < FEW_PARAMETERS else _usual_threads())
    torch.set_num_threads(threads)
    return threads


def _usual_threads() -> int:
    """The cores this process may use; launchers that run cells side by side say so in OMP_NUM_THREADS."""
    cores = usable_cores()
    return min(cores, int(os.environ.get("OMP_NUM_THREADS") or cores))
