"""Writes training curves while a cell runs, with Lightning's loggers: one file or run per cell."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from benchmark.errors import ConfigError
from benchmark.extras import absence

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

METRICS = "log/metrics.csv"


@runtime_checkable
class CellLogger(Protocol):
    """The settings of logging: every `_target_` in `conf/logger/*.yaml` is a class of this form."""

    def check(self) -> None:
        """Raises ConfigError if a package that it needs is not installed."""
        ...

    def open(self, folder: Path, name: str, config: Mapping[str, Any]) -> list[Logger]:
        """Lightning loggers for one cell, which write into `folder`; `name` and `config` describe the cell."""
        ...


@dataclass(frozen=True)
class CsvLog:
    """`metrics.csv` in the cell's folder."""

    def check(self) -> None:
        """Does nothing: no package is needed."""

    def open(self, folder: Path, name: str, config: Mapping[str, Any]) -> list[Logger]:
        """One CSV logger."""
        from pytorch_lightning.loggers import CSVLogger

        return [CSVLogger(folder, name="", version="log")]


@dataclass(frozen=True)
class TensorBoardLog:
    """`metrics.csv`, and TensorBoard event files next to it."""

    def check(self) -> None:
        """Raises ConfigError if TensorBoard is not installed."""
        _require("tensorboard")

    def open(self, folder: Path, name: str, config: Mapping[str, Any]) -> list[Logger]:
        """A CSV and a TensorBoard logger."""
        from pytorch_lightning.loggers import TensorBoardLogger

        return [*CsvLog().open(folder, name, config), TensorBoardLogger(folder, name="", version="log")]


@dataclass(frozen=True)
class WandbLog:
    """`metrics.csv`, and one Weights & Biases run per cell. With `mode=offline`, `wandb sync` uploads it later."""

    project: str = field(default="distillation-benchmark", metadata={"identity": False})
    mode: Literal["offline", "online", "disabled"] = "offline"

    def check(self) -> None:
        """Raises ConfigError if wandb is not installed."""
        _require("wandb")

    def open(self, folder: Path, name: str, config: Mapping[str, Any]) -> list[Logger]:
        """A CSV and a W&B logger."""
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        run = wandb.init(
            project=self.project,
            name=name,
            dir=folder,
            mode=self.mode,
            config=dict(config),
            reinit="create_new",  # a run of its own for every cell of the process
            settings=wandb.Settings(silent=True),
        )
        # Lightning does this only for runs that it opens itself; without it, charts count log calls instead of steps.
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return [*CsvLog().open(folder, name, config), WandbLogger(experiment=run)]


@contextmanager
def cell_loggers(
    kind: CellLogger, folder: Path, attempts: Path, name: str, config: Mapping[str, Any]
) -> Iterator[list[Logger]]:
    """The loggers of one cell. They are closed even after an error, so that the next cell cannot write into them.

    Every attempt at the cell writes into a new folder under `attempts`; at the end, `gather` joins all in `folder`.
    """
    attempt = attempts / f"{sum(1 for _ in attempts.glob('*')):04d}"
    attempt.mkdir(parents=True)
    loggers = kind.open(attempt, name, config)
    try:
        yield loggers
    finally:
        for logger in loggers:
            logger.finalize("success")
            experiment = getattr(logger, "experiment", None)
            finish = getattr(experiment, "finish", None)  # Lightning leaves a W&B run open
            if finish is not None:
                finish()
        gather(attempts, folder)


def gather(attempts: Path, folder: Path) -> None:
    """Copies the logs of all attempts into the cell's folder, and joins their curves; a later attempt wins.

    A round may log the same things at the same step as the one before: its first validation, of a student that
    restarted. So rows of different rounds are different rows.
    """
    curves: dict[tuple[str, str, frozenset[str]], dict[str, str]] = {}
    for attempt in sorted(attempts.iterdir()):
        for run in attempt.glob("wandb/*run-*"):
            # W&B goes on writing for a while: a moved folder takes its open files along, a copy would be cut short.
            (folder / "wandb").mkdir(exist_ok=True)
            run.rename(folder / "wandb" / run.name)
        shutil.copytree(attempt, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("wandb"))
        curves.update({(row["step"], row.get("round", ""), frozenset(row)): row for row in _rows(attempt / METRICS)})
    if curves:
        names = sorted({name for row in curves.values() for name in row})
        with (folder / METRICS).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(sorted(curves.values(), key=lambda row: int(row["step"])))


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that have a step, without empty fields; empty if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if "step" in row]


def _require(package: str) -> None:
    if (why := absence(package)) is not None:
        raise ConfigError(f"logger needs {package}, which {why}: pip install 'distillation-benchmark[{package}]'")
