"""The command line: composes a config with Hydra, runs one cell or a sweep, and turns every error into one line."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from benchmark.config_folder import CONF
from benchmark.launchers import cells_at_once, gpus_per_cell, refuse_absent_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.run_cell import Outcome

# Workers of launchers import this module before Hydra reads their config.
OmegaConf.register_new_resolver("home", os.path.expanduser, replace=True)
OmegaConf.register_new_resolver("cells_at_once", cells_at_once, replace=True)
OmegaConf.register_new_resolver("gpus_per_cell", gpus_per_cell, replace=True)
# Files of ours with the name of a plug-in's own config take its settings and types, as we want it; Hydra warns of that.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")

_outcomes: list[Outcome] = []
"""What this process ran; Hydra gives a single run's return value to nobody."""
_commands: list[str] = []
"""The command that this process is; empty in a worker of a launcher."""


def run(config: DictConfig) -> Outcome:
    """Hydra's task function: a lone cell in its mode, or one cell that a sweep has launched.

    Launchers import it by name, so that what it caches outlives the cell.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from benchmark.errors import ConfigError, SweepFailed
    from benchmark.interruption import Interrupted, end_as_launcher_wants, note_interruption, was_asked_to_stop
    from benchmark.run_cell import Outcome

    interrupted = Outcome("", "", "not run", "interrupted")
    if was_asked_to_stop():
        return interrupted  # a worker takes nothing more from its queue, so that its launcher comes to an end
    launched_by_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        outcome = _run_launched(config) if launched_by_sweep else _do_alone(config)
    except (KeyboardInterrupt, Interrupted):
        if _commands:
            raise
        end_as_launcher_wants()
        note_interruption()  # raised to the launcher, it would kill the other workers before they have saved
        return interrupted
    except (ConfigError, SweepFailed) as error:
        # Hydra prints its own lines about a task that raises; the user needs one line only.
        outcome = Outcome("", "", "refused" if isinstance(error, ConfigError) else "failed", str(error))
    _outcomes.append(outcome)
    return outcome


def _run_launched(config: DictConfig) -> Outcome:
    """Runs a cell that its sweep has checked."""
    from hydra.core.hydra_config import HydraConfig

    from benchmark.cell.composition import read_cell
    from benchmark.cell.precision import precision_warnings
    from benchmark.console.progress import Lines
    from benchmark.console.warned import warn_once
    from benchmark.run_cell import run_cell

    cell = read_cell(config, HydraConfig.get())
    warn_once(precision_warnings(cell))  # the machine that planned it may be another
    return run_cell(cell, Lines(cell.describe()))


def _do_alone(config: DictConfig) -> Outcome:
    """Runs, plans or annotates a grid of one cell."""
    from benchmark.console.progress import Bars
    from benchmark.grid import Grid, mode_of
    from benchmark.run_cell import Outcome, run_cell

    grid = Grid.of_one(config)
    if grid.plan_or_annotate(mode_of((), config)):
        return Outcome("", "", "not run", "")
    grid.read()
    [each] = grid.cells.values()
    return run_cell(each.cell, Bars())


def main() -> int:
    """Exit status: 0 all well, 1 a cell or a check failed, 2 wrong input, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
    import hydra

    from benchmark.config import COMPOSING_ERRORS
    from benchmark.console.tracebacks import TRACEBACKS
    from benchmark.errors import SweepFailed
    from benchmark.interruption import Interrupted, exit_status, forget_signals, stoppable

    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that knows ASCII alone gets escapes, and no traceback
        sys.stdout.reconfigure(errors="backslashreplace")
    before = os.environ.get("HYDRA_FULL_ERROR")
    TRACEBACKS.set(before == "1")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises to us instead of printing and exiting
    _outcomes.clear()
    _commands[:] = [" ".join(sys.argv)]
    forget_signals()
    sys.argv[1:] = map(_with_home, sys.argv[1:])
    try:
        if sys.argv[1:2] == ["check-method"]:
            return _check_method(sys.argv[2:])
        if sys.argv[1:2] == ["explain"]:
            return _explain(sys.argv[2:])
        if sys.argv[1:2] == ["judge"]:
            return _judge(sys.argv[2:])
        _refuse_nothing_chosen(sys.argv[1:])
        refuse_absent_of(sys.argv[1:])
        with stoppable():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run)()
    except (KeyboardInterrupt, Interrupted) as stop:
        where = f": {stop}" if str(stop) else ""
        sys.stderr.write(f"interrupted{where}; the same command goes on from here\n")
        return exit_status()
    except SweepFailed as error:
        return _complain(str(error), 1)
    except COMPOSING_ERRORS as error:
        if before == "1":
            raise
        return _complain(_one_line(error), 2)
    finally:
        _commands.clear()
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    return _status()


def _check_method(arguments: list[str]) -> int:
    """Runs the contract's checks on one preset; it is no cell, and nothing of it is kept."""
    from benchmark.conformance.command import check_method
    from benchmark.interruption import Interrupted, exit_status

    try:
        return check_method(arguments, CONF)
    except (KeyboardInterrupt, Interrupted):
        sys.stderr.write("interrupted; checks keep nothing, and the same command begins anew\n")
        return exit_status()


def _explain(arguments: list[str]) -> int:
    """Has students of finished cells explain test questions; a folder that is done stays as it is."""
    from benchmark.explain_finished import explain_finished

    return explain_finished(arguments)


def _judge(arguments: list[str]) -> int:
    """Has a teacher compare the explanations of two finished cells; judgements that are there stay as they are."""
    from benchmark.errors import TeacherError
    from benchmark.judging.command import judge_finished

    try:
        return judge_finished(arguments)
    except TeacherError as error:
        return _complain(f"{error}; replies so far are kept, and the same command goes on from there", 1)


def _with_home(argument: str) -> str:
    """The argument with `~` at the beginning of its value as the home folder.

    Shells leave it as it is behind `=`, and Hydra's grammar has no such value.
    """
    found = re.fullmatch(r"([\w.@/+]+)=(~(?:/[^,'\"\[\]{}]*)?)", argument)
    return f"{found[1]}='{os.path.expanduser(found[2])}'" if found else argument


def _refuse_nothing_chosen(arguments: list[str]) -> None:
    """Hydra answers `selection=null` with a ValueError that names no group."""
    from benchmark.errors import ConfigError

    groups = set(_groups()) - {"experiment"}
    for name, _, value in (argument.partition("=") for argument in arguments):
        if name in groups and "null" in value.split(","):
            raise ConfigError(f"{name}={value}: every cell needs one option of {name}")


def _groups() -> tuple[str, ...]:
    """The names of all groups, nested ones included, that this command can choose from."""
    from benchmark.cell.composition import CHOICES
    from benchmark.cell.nested_groups import nested_groups, search_folders

    return (*CHOICES, *nested_groups([CONF, *search_folders(sys.argv)]))


def _one_line(error: Exception) -> str:
    from benchmark.config import explain

    return explain(error, _groups(), sweeping=bool({"-m", "--multirun"} & set(sys.argv[1:])))


def _status() -> int:
    """A single run's result for people, and its exit status; a sweep has told its own."""
    if len(_outcomes) == 1:
        outcome = _outcomes[0]
        if outcome.status == "already complete":
            sys.stderr.write(f"already complete: {outcome.description}: {outcome.message} (cell {outcome.cell_id})\n")
        if outcome.status in ("failed", "refused"):
            return _complain(outcome.message, 1 if outcome.status == "failed" else 2)
    return 0


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return status


def entry() -> None:
    """The console script."""
    sys.exit(main())
