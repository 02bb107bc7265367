"""The command line: composes a config with Hydra, runs one cell or a sweep, and turns every error into one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.cell.cell import Cell
    from benchmark.run_cell import Outcome

HERE = Path(__file__).resolve().parent
CONF = next(path for path in (HERE / "conf", HERE.parent / "conf") if (path / "config.yaml").is_file())
"""Beside the package once installed from a wheel, beside the repository's top-level folders otherwise."""

_outcomes: list[Outcome] = []
"""What this process ran; Hydra gives a single run's return value to nobody."""


def run(config: DictConfig) -> Outcome:
    """Hydra's task function: one cell in one of the modes. Launchers import it by name, so caches outlive the cell."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from benchmark.cell.composition import read_cell
    from benchmark.errors import ConfigError
    from benchmark.planning.checks import check, check_preparation, check_without_trace
    from benchmark.run_cell import Outcome

    hydra = HydraConfig.get()
    alone = hydra.mode != RunMode.MULTIRUN
    try:
        cell = read_cell(config, hydra)
        if cell.mode == "plan":  # alone, since a sweep plans before it launches
            check_without_trace(cell)
        elif cell.mode == "annotate":  # alone too
            check_preparation(cell)
        elif alone:
            check(cell)  # a sweep has checked all its cells by now
    except ConfigError as error:
        # Hydra prints its own lines about a task that raises; a refused cell needs one line only.
        outcome = Outcome("", "", "refused", str(error))
    else:
        outcome = _done(cell, alone)
    _outcomes.append(outcome)
    return outcome


def _done(cell: Cell, alone: bool) -> Outcome:
    """Does what the cell's mode says."""
    from benchmark.console.progress import Bars, Lines
    from benchmark.run_cell import run_cell

    match cell.mode:
        case "plan":
            return _planned(cell)
        case "annotate":
            return _prepared(cell)
        case "run":
            return run_cell(cell, Bars() if alone else Lines(cell.describe()))


def _planned(cell: Cell) -> Outcome:
    """Prints the plan of a cell that stands alone."""
    from benchmark.cell.identity import cell_id
    from benchmark.cell.sources import student_download
    from benchmark.planning.plan_table import Listed, names_of, preview
    from benchmark.records.catalog import cell_on_disk
    from benchmark.run_cell import Outcome

    if student_download(cell) is not None:
        sys.stdout.write(preview([Listed(names_of(cell), "", cell)]))
        return Outcome("", cell.describe(), "planned", "")
    identifier = cell_id(cell)
    status = cell_on_disk(Path(cell.results_dir), identifier).status
    sys.stdout.write(preview([Listed(names_of(cell), "", cell, status)]))
    return Outcome(identifier, cell.describe(), "planned", "")


def _prepared(cell: Cell) -> Outcome:
    """Fills the store for a cell that stands alone, and prints what came of it."""
    from benchmark.planning.plan_table import names_of
    from benchmark.run_cell import Outcome
    from benchmark.running.annotate_ahead import prepare
    from benchmark.running.annotate_ahead_table import PreparedCell, report

    done = prepare(cell, _say)
    sys.stdout.write(report([PreparedCell(names_of(cell), "", done)]))
    if done.failure is not None:
        return Outcome("", cell.describe(), "failed", done.failure)
    return Outcome("", cell.describe(), "prepared", "")


def main() -> int:
    """Exit status: 0 all well, 1 a cell failed, 2 wrong input, 130 interrupted."""
    import hydra

    from benchmark.config import COMPOSING_ERRORS
    from benchmark.errors import SweepFailed

    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises to us instead of printing and exiting
    _outcomes.clear()
    try:
        _refuse_nothing_chosen(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)()
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on with the cells that are missing", 130)
    except SweepFailed as error:
        return _complain(str(error), 1)
    except COMPOSING_ERRORS as error:
        if before == "1":
            raise
        return _complain(_one_line(error), 2)
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    return _status()


def _refuse_nothing_chosen(arguments: list[str]) -> None:
    """Hydra answers `selection=null` with a ValueError that names no group."""
    from benchmark.cell.composition import GROUPS
    from benchmark.errors import ConfigError

    for name, _, value in (argument.partition("=") for argument in arguments):
        if name in (*GROUPS, "method") and "null" in value.split(","):
            raise ConfigError(f"{name}={value}: every cell needs one option of {name}")


def _one_line(error: Exception) -> str:
    from benchmark.cell.composition import CHOICES
    from benchmark.config import explain

    return explain(error, CHOICES, sweeping=bool({"-m", "--multirun"} & set(sys.argv[1:])))


def _status() -> int:
    """A single run's result for people, and its exit status; a sweep has told its own."""
    if len(_outcomes) == 1:
        outcome = _outcomes[0]
        if outcome.status == "already complete":
            sys.stderr.write(f"already complete: {outcome.description}: {outcome.message} (cell {outcome.cell_id})\n")
        if outcome.status in ("failed", "refused"):
            return _complain(outcome.message, 1 if outcome.status == "failed" else 2)
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return status


def entry() -> None:
    """The console script."""
    sys.exit(main())
