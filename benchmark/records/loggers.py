"""Writes training curves while a cell runs, with Lightning's loggers: one file or run per cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from benchmark.errors import ConfigError
from benchmark.extras import absence
from benchmark.records.curves import Row, gather, joined
from benchmark.records.tracking import STEP_AXIS, TrackedCell

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


@runtime_checkable
class CellLogger(Protocol):
    """The settings of logging: every `_target_` in `conf/logger/*.yaml` is a class of this form."""

    def check(self) -> None:
        """Raises ConfigError if a package that it needs is not installed."""
        ...

    def open(self, folder: Path, cell: TrackedCell, earlier: Sequence[Row]) -> list[Logger]:
        """Lightning loggers for an attempt at a cell, which write into `folder`.

        `earlier` is what earlier attempts logged, in order.
        """
        ...


@runtime_checkable
class Tracker(Protocol):
    """A logger that shows the whole cell as one run, and not only its curves."""

    def address(self) -> str | None:
        """Where the run can be watched; None if it is written to the disk alone."""
        ...

    def show_examples(self, folder: Path, step: int) -> None:
        """Shows some rows of the `predictions.parquet` in a cell's folder."""
        ...

    def close(self, failed: bool) -> None:
        """Ends the run; Lightning finalises loggers after every fit. `failed`: by an error or an interruption."""
        ...


@dataclass(frozen=True)
class CsvLog:
    """`metrics.csv` in the cell's folder."""

    def check(self) -> None:
        """Does nothing: no package is needed."""

    def open(self, folder: Path, cell: TrackedCell, earlier: Sequence[Row]) -> list[Logger]:
        """One CSV logger."""
        from pytorch_lightning.loggers import CSVLogger

        return [CSVLogger(folder, name="", version="log")]


@dataclass(frozen=True)
class TensorBoardLog:
    """`metrics.csv`, and TensorBoard event files next to it."""

    def check(self) -> None:
        """Raises ConfigError if TensorBoard is not installed."""
        _require("tensorboard")

    def open(self, folder: Path, cell: TrackedCell, earlier: Sequence[Row]) -> list[Logger]:
        """A CSV and a TensorBoard logger."""
        from pytorch_lightning.loggers import TensorBoardLogger

        return [*CsvLog().open(folder, cell, earlier), TensorBoardLogger(folder, name="", version="log")]


@dataclass(frozen=True)
class WandbLog:
    """`metrics.csv`, and one Weights & Biases run per cell, whose id is the cell's."""

    project: str = field(default="distillation-benchmark", metadata={"identity": False})
    """The project that the runs belong to; who owns it is W&B's own setting (`WANDB_ENTITY`)."""
    mode: Literal["offline", "online", "disabled"] = "offline"
    """`offline`: `wandb sync` uploads the run later; `online`: it can be watched while the cell runs."""
    examples: int = 50
    """The number of test questions in the run's table of examples; 0 for no table."""

    def __post_init__(self) -> None:
        if self.examples < 0:
            raise ValueError(f"examples={self.examples} must be a number of test questions, or 0 for no table")

    def check(self) -> None:
        """Raises ConfigError if wandb is not installed, or if a run online would find nobody logged in."""
        _require("wandb")
        if self.mode == "online" and not _is_logged_in():
            raise ConfigError(
                "logger.mode=online needs a login, and W&B knows none: run `wandb login`, or leave logger.mode=offline "
                "and upload the runs later by `wandb sync`"
            )

    def open(self, folder: Path, cell: TrackedCell, earlier: Sequence[Row]) -> list[Logger]:
        """A CSV and a W&B logger."""
        import wandb

        from benchmark.records.wandb_logger import WandbCellLogger

        run = wandb.init(
            project=self.project,
            id=cell.cell_id,  # an attempt that goes on takes the place of the run before, and holds its curve
            name=cell.name,
            group=cell.group,
            tags=cell.tags,
            config=dict(cell.config),
            dir=folder,
            mode=self.mode,
            reinit="create_new",  # a run of its own for every cell of the process
            # The terminal shows all cells of a process, and what servers answer: it belongs into no run.
            settings=wandb.Settings(silent=True, console="off"),
        )
        # Lightning does this only for runs that it opens itself; without it, charts count log calls instead of steps.
        run.define_metric(STEP_AXIS)
        run.define_metric("*", step_metric=STEP_AXIS, step_sync=True)
        return [*CsvLog().open(folder, cell, earlier), WandbCellLogger(run, earlier, self.examples)]


@contextmanager
def cell_loggers(kind: CellLogger, folder: Path, attempts: Path, cell: TrackedCell) -> Iterator[list[Logger]]:
    """The loggers of one cell. They are closed even after an error, so that the next cell cannot write into them.

    Every attempt at the cell writes into a new folder under `attempts`; at the end, `gather` joins all in `folder`.
    """
    earlier = sorted(attempts.glob("*"))
    attempt = attempts / f"{len(earlier):04d}"
    attempt.mkdir(parents=True)
    loggers = kind.open(attempt, cell, joined(earlier))
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            logger.finalize("failed" if failed else "success")
            if isinstance(logger, Tracker):
                logger.close(failed)
        gather(attempts, folder)


def _is_logged_in() -> bool:
    """Whether W&B has a key on this machine; asks no server. True too where a run of the caller is open."""
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # otherwise the next call asks a server for the user's name
    return wandb.run is not None or bool(wandb.login(prompt=False, verify=False))


def _require(package: str) -> None:
    if (why := absence(package)) is not None:
        raise ConfigError(f"logger needs {package}, which {why}: pip install 'distillation-benchmark[{package}]'")
