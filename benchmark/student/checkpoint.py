"""Checkpoints during a fit, written by Lightning: weights, optimiser, loops, and the position in the stream of data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl

from benchmark.interruption import Interrupted
from benchmark.records.contents import file_hash
from benchmark.records.journal import Journal, as_json, from_json
from benchmark.student import ranks
from benchmark.student.stream import StepStream
from benchmark.types import Json, Stage, TrainingExample


class Tallies(Protocol):
    """Counts that parts keep outside the fit. A checkpoint saves and restores them together with the weights."""

    def tallies(self) -> Json:
        """All counts, as plain JSON values."""
        ...

    def restore(self, tallies: Json) -> None:
        """Sets all counts to what `tallies` returned earlier."""
        ...


class StopSignals(Protocol):
    """Says whether a fit has to stop."""

    save_once: bool
    """Whether the fit has to be saved now, and goes on; set to False once it is."""

    @property
    def asked(self) -> bool:
        """Whether the process was asked to stop."""
        ...

    def install(self) -> None:
        """Takes signals back from a library that has taken them over."""
        ...


@dataclass(frozen=True)
class FitJournal:
    """Stores the stages and the last checkpoint of one fit, in a folder of the cell's journal.

    `pointer.json` names the last checkpoint. It is written after the checkpoint is complete; a checkpoint that it does
    not name is ignored.
    """

    journal: Journal
    """The cell's journal."""
    folder: str
    """The fit's folder, as a path inside the journal."""
    every_seconds: float
    """The shortest time between two checkpoints, in seconds."""
    counts: Tallies
    """Counts outside the fit that each checkpoint saves."""

    def usable_checkpoint(self) -> Path | None:
        """The path of the last checkpoint. Empties the folder and returns None if it is missing or damaged."""
        pointer = self.journal.read(f"{self.folder}/pointer.json")
        if pointer is not None and len(self.journal.lines(self._stages)) >= pointer["stages"]:
            checkpoint = f"{self.folder}/{pointer['file']}"
            if self.journal.intact(checkpoint, pointer["sha256"]):
                return self.journal.path(checkpoint)
        self.journal.forget(self.folder)
        return None

    @property
    def seconds_before(self) -> float:
        """Seconds that earlier attempts trained up to the checkpoint; 0.0 if there is none."""
        pointer = self.journal.read(f"{self.folder}/pointer.json")
        return float(pointer["seconds"]) if pointer is not None else 0.0

    @property
    def _stages(self) -> str:
        return f"{self.folder}/stages.jsonl"

    def save(self, step: int, stages: int, seconds: float, write: Callable[[Path], Any]) -> None:
        """Writes a checkpoint and deletes the older ones.

        `step` is the number of optimiser steps done, `stages` the number of stages begun, `seconds` the training time
        so far. `write` gets the path of the file and writes it.
        """
        name = f"step-{step}.ckpt"
        self.journal.replace(f"{self.folder}/{name}", write)
        path = self.journal.path(f"{self.folder}/{name}")
        pointer = {"file": name, "sha256": file_hash(path), "stages": stages, "seconds": seconds}
        self.journal.write(f"{self.folder}/pointer.json", pointer)
        for older in path.parent.glob("step-*.ckpt"):
            if older != path:
                older.unlink()

    def stages(self, count: int, examples: Sequence[TrainingExample]) -> list[Stage]:
        """The first `count` stages. Deletes all later ones from the journal: they began after the checkpoint."""
        rows = self.journal.lines(self._stages)[:count]
        self.journal.replace(
            self._stages, lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        )
        return [unpacked(row, examples) for row in rows]

    def add(self, stage: Stage, examples: Sequence[TrainingExample]) -> Stage:
        """Writes the stage to the journal; returns it as a later attempt will read it."""
        row = packed(stage, examples)
        self.journal.append(self._stages, row)
        return unpacked(row, examples)


@dataclass(frozen=True)
class FollowingJournal(FitJournal):
    """The journal of a process that is not the first of its fit: it reads, and writes nothing."""

    def save(self, step: int, stages: int, seconds: float, write: Callable[[Path], Any]) -> None:
        """Takes part in writing a checkpoint, of which the first process keeps the file."""
        write(self.journal.path(f"{self.folder}/step-{step}.ckpt"))

    def stages(self, count: int, examples: Sequence[TrainingExample]) -> list[Stage]:
        """The first `count` stages."""
        return [unpacked(row, examples) for row in self.journal.lines(self._stages)[:count]]

    def add(self, stage: Stage, examples: Sequence[TrainingExample]) -> Stage:
        """The stage as a later attempt will read it."""
        return unpacked(packed(stage, examples), examples)


def packed(stage: Stage, examples: Sequence[TrainingExample]) -> Json:
    """A stage as JSON; an example that occurs in `examples` becomes its index there, any other is written in full."""
    numbers = {example: number for number, example in enumerate(examples)}
    rows = [numbers[example] if example in numbers else as_json(example) for example in stage.examples]
    return {**as_json(replace(stage, examples=())), "examples": rows}


def unpacked(row: Mapping[str, Json], examples: Sequence[TrainingExample]) -> Stage:
    """The stage that `packed` turned into JSON."""
    of_stage = [
        examples[item] if isinstance(item, int) else from_json(TrainingExample, item) for item in row["examples"]
    ]
    stage: Stage = from_json(Stage, {**row, "examples": ()})
    return replace(stage, examples=tuple(of_stage))


class Checkpointing(pl.Callback):
    """Saves a checkpoint if one is due or the fit has to stop, after a step from which the stream of data can go on."""

    def __init__(self, fit_journal: FitJournal, stream: StepStream, signals: StopSignals) -> None:
        self.fit_journal = fit_journal
        self.stream = stream
        self.signals = signals
        self.started = self.saved = time.perf_counter()
        self.seconds_before = fit_journal.seconds_before

    def on_train_start(self, *_: Any, **__: Any) -> None:
        """Takes SIGTERM back from Lightning, which would end the fit before it is saved."""
        self.signals.install()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Saves a checkpoint if one is due, or if the process was asked to stop; raises Interrupted in that case."""
        due = self.signals.save_once or time.perf_counter() - self.saved >= self.fit_journal.every_seconds
        due, asked = ranks.agreed((due, self.signals.asked))  # clocks differ, and all processes save together
        if not (due or asked) or self.stream.standing() is None:
            return
        for logger in trainer.loggers:
            logger.save()
        seconds = self.seconds_before + time.perf_counter() - self.started
        self.fit_journal.save(
            trainer.global_step,
            len(self.stream.stages),
            seconds,
            lambda path: trainer.save_checkpoint(path, weights_only=False),
        )
        self.saved = time.perf_counter()
        self.signals.save_once = False
        if asked:
            steps = f"{trainer.global_step:,} of {trainer.max_steps:,}"
            raise Interrupted(f"training is saved at step {steps}")

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the stream's position and the counts as text, so that the file can be read without unpickling."""
        ours = {"stream": self.stream.standing(), "tallies": self.fit_journal.counts.tallies()}
        checkpoint["benchmark"] = json.dumps(ours)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restores the stream's position and the counts."""
        found = json.loads(checkpoint["benchmark"])
        self.fit_journal.counts.restore(found["tallies"])
        begun = found["stream"]["position"]["stage"] + 1
        self.stream.resume(found["stream"], self.fit_journal.stages(begun, self.stream.examples))
