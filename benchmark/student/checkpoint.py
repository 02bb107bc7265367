"""Checkpoints inside a fit, through Lightning: weights, optimiser, loops, and where the stream of data stands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl

from benchmark.records.contents import file_hash
from benchmark.records.journal import Journal, as_json, from_json
from benchmark.student.stream import StepStream
from benchmark.types import Json, Stage, TrainingExample


class Tallies(Protocol):
    """What parts counted outside the fit: it must stand at the same place as the weights."""

    def tallies(self) -> Json:
        """All of it, as plain JSON values."""
        ...

    def restore(self, tallies: Json) -> None:
        """Takes back what `tallies` gave."""
        ...


@dataclass(frozen=True)
class FitJournal:
    """Where one fit leaves its stages and its last checkpoint: a folder of the cell's journal.

    `pointer.json` is written after a checkpoint is whole and names it; what it does not name does not count.
    """

    journal: Journal
    folder: str
    every_seconds: float
    counts: Tallies

    def usable_checkpoint(self) -> Path | None:
        """The last checkpoint; None, and a clean folder, where there is none or it cannot be used."""
        pointer = self.journal.read(f"{self.folder}/pointer.json")
        if pointer is not None and len(self.journal.lines(self._stages)) >= pointer["stages"]:
            checkpoint = f"{self.folder}/{pointer['file']}"
            if self.journal.intact(checkpoint, pointer["sha256"]):
                return self.journal.path(checkpoint)
        self.journal.forget(self.folder)
        return None

    @property
    def seconds_before(self) -> float:
        """How long earlier attempts trained up to the checkpoint."""
        pointer = self.journal.read(f"{self.folder}/pointer.json")
        return float(pointer["seconds"]) if pointer is not None else 0.0

    @property
    def _stages(self) -> str:
        return f"{self.folder}/stages.jsonl"

    def save(self, step: int, stages: int, seconds: float, write: Callable[[Path], Any]) -> None:
        """Makes a checkpoint the last one, after that many stages were begun; `write` is given the name of its file."""
        name = f"step-{step}.ckpt"
        self.journal.replace(f"{self.folder}/{name}", write)
        path = self.journal.path(f"{self.folder}/{name}")
        pointer = {"file": name, "sha256": file_hash(path), "stages": stages, "seconds": seconds}
        self.journal.write(f"{self.folder}/pointer.json", pointer)
        for older in path.parent.glob("step-*.ckpt"):
            if older != path:
                older.unlink()

    def stages(self, count: int, examples: Sequence[TrainingExample]) -> list[Stage]:
        """The first stages that were begun; those behind them, begun after the checkpoint, are forgotten."""
        rows = self.journal.lines(self._stages)[:count]
        self.journal.replace(
            self._stages, lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        )
        return [unpacked(row, examples) for row in rows]

    def add(self, stage: Stage, examples: Sequence[TrainingExample]) -> Stage:
        """The stage as it will be read back, now that it is written down."""
        row = packed(stage, examples)
        self.journal.append(self._stages, row)
        return unpacked(row, examples)


def packed(stage: Stage, examples: Sequence[TrainingExample]) -> Json:
    """A stage as JSON; those of its examples that are the format's own stand as their numbers."""
    numbers = {example: number for number, example in enumerate(examples)}
    rows = [numbers[example] if example in numbers else as_json(example) for example in stage.examples]
    return {**as_json(replace(stage, examples=())), "examples": rows}


def unpacked(row: Mapping[str, Json], examples: Sequence[TrainingExample]) -> Stage:
    """The stage that `packed` took apart."""
    of_stage = [
        examples[item] if isinstance(item, int) else from_json(TrainingExample, item) for item in row["examples"]
    ]
    stage: Stage = from_json(Stage, {**row, "examples": ()})
    return replace(stage, examples=tuple(of_stage))


class Checkpointing(pl.Callback):
    """Saves after a step once enough time has passed, where the stream of data can go on from there."""

    def __init__(self, fit_journal: FitJournal, stream: StepStream) -> None:
        self.fit_journal = fit_journal
        self.stream = stream
        self.started = self.saved = time.perf_counter()
        self.seconds_before = fit_journal.seconds_before

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Saves where it is time."""
        due = time.perf_counter() - self.saved >= self.fit_journal.every_seconds
        if due and self.stream.standing() is not None:
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

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds where the stream stands and what was counted, as text: the file is read without unpickling."""
        ours = {"stream": self.stream.standing(), "tallies": self.fit_journal.counts.tallies()}
        checkpoint["benchmark"] = json.dumps(ours)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the stream and the counts where they stood."""
        found = json.loads(checkpoint["benchmark"])
        self.fit_journal.counts.restore(found["tallies"])
        begun = found["stream"]["position"]["stage"] + 1
        self.stream.go_on(found["stream"], self.fit_journal.stages(begun, self.stream.examples))
