"""The cells of one command: read, checked, planned and annotated ahead. A lone cell is a grid of one."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from benchmark.cell.cell import Cell, StartingCell
from benchmark.cell.composition import CHOICES, SCALARS, read_cell
from benchmark.cell.identity import cell_id
from benchmark.cell.names import Names, names_of
from benchmark.cell.nested_groups import nested_groups
from benchmark.cell.overrides import NAMED, Overrides, key_and_value, reference_of, shown, varied_settings
from benchmark.cell.precision import precision_lines, precision_warnings
from benchmark.cell.sources import student_download
from benchmark.cell.starting_cells import missing_prerequisite, settled_for_jobs
from benchmark.config import COMPOSING_ERRORS, explain, leaf
from benchmark.console.stderr_lines import write_line
from benchmark.console.tracebacks import TRACEBACKS
from benchmark.console.warned import warn_once
from benchmark.errors import ConfigError, ModelError, SweepFailed, in_a_line
from benchmark.launchers import Launcher
from benchmark.planning.checks import check, check_annotate_ahead, check_before_prerequisites, check_without_trace
from benchmark.planning.compatibility import compatibility_lines
from benchmark.planning.plan_table import Listed, plan_table
from benchmark.planning.shared_limits import limit_lines
from benchmark.records.catalog import cell_on_disk
from benchmark.running.annotate_ahead_table import AheadRow, report

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

Mode = Literal["run", "plan", "annotate"]
ONE_MODE = "a command runs its cells, plans them or annotates ahead"
CHECKS: Mapping[Mode, Callable[[Cell], None]] = {
    "run": check,
    "plan": check_without_trace,
    "annotate": check_annotate_ahead,
}
"""By mode the function that raises ConfigError, or what a part of the cell raises, where a cell cannot be done."""


@dataclass(frozen=True)
class GridCell:
    """A cell of the grid that can be done."""

    cell_id: str
    """Its id; the overrides where only the student, which is not here, could tell the id."""
    cell: Cell
    """The cell, read and checked."""
    overrides: Overrides
    """What makes it from the config of the command."""
    status: Literal["complete", "failed", "damaged", "missing"]
    """What its record said when the grid was read."""
    is_prerequisite: bool = False
    """Whether other cells of the grid start from its student."""


@dataclass(frozen=True)
class RefusedCell:
    """A cell of the grid that cannot be done."""

    overrides: Overrides
    reason: str
    cell: Cell | None
    """None where its config cannot even be read."""
    alone: bool
    """Whether a model or the code of a part is the reason, which says nothing about the other cells of the command.

    Otherwise the command itself has a mistake.
    """


@dataclass
class Grid:
    """The cells of one command.

    Raises ConfigError from its methods, with all reasons, where the command has a mistake, or where no cell that it
    asks for can be done. Otherwise cells with a model that cannot be used, or with a part that raises, are left out,
    and stderr says why.
    """

    compose: Callable[[Overrides], DictConfig]
    """Turns overrides into a full config."""
    asked: Sequence[Overrides]
    """The overrides of every cell that the command names."""
    with_references: bool = True
    """Whether the untrained student of each dataset, student and seed belongs to the grid."""
    cells: dict[str, GridCell] = field(default_factory=dict)
    """The cells that can be done, by id; filled by the methods below."""
    refused: list[RefusedCell] = field(default_factory=list)
    """The cells that are left out, while the others are done; filled by the methods below."""
    waiting: list[Overrides] = field(default_factory=list)
    """The cells that start from others of this grid, which `read` found missing; `read_waiting` takes them up."""
    runs_prerequisites: bool = True
    """Whether the cells that others start from belong to the grid."""
    launcher: Launcher = field(default_factory=Launcher)
    """What runs the cells."""

    @classmethod
    def of_one(cls, config: DictConfig) -> Self:
        """The grid of a lone cell, whose config is composed already; the plan alone shows its prerequisites."""
        return cls(lambda overrides: config, [()], with_references=False, runs_prerequisites=False)

    def read(self) -> None:
        """Fills `cells` for running them. Makes their results folders, and the teacher store where one is needed.

        Says what `precision: auto` became, warns of a precision that this machine does not compute, and says what does
        not fit between models and data.
        """
        self._take_up_all(self._wanted(), "run")
        for line in dict.fromkeys(line for cell in self._to_do() for line in precision_lines(cell)):
            write_line(line)
        self._warn_of_what_does_not_fit()
        self._warn_of_slow_precision()

    def read_waiting(self) -> None:
        """Takes up the cells that waited, once those that they start from have run.

        Refuses those whose prerequisite failed. Raises ConfigError as the class says.
        """
        waiting, self.waiting, self.runs_prerequisites = self.waiting, [], False
        before = self.refused
        self._take_up_all(waiting, "run")
        self.refused = [*before, *self.refused]
        self._warn_of_what_does_not_fit()

    def plan_or_annotate(self, mode: str) -> bool:
        """Prints the plan (`mode=plan`) or annotates ahead (`mode=annotate`). Returns False with `mode=run`."""
        if mode == "plan":
            sys.stdout.write(self.plan())
        elif mode == "annotate":
            self.annotate()  # in this process alone, so that limits per minute hold for all cells
        return mode != "run"

    def plan(self) -> str:
        """What would be run, as a table. Writes nothing. Raises ConfigError only where no cell can run."""
        wanted = self._wanted()
        refused = self._take_up(wanted, "plan")
        reasons = _reasons(refused, len(wanted))
        if self._are_all(refused):
            raise ConfigError("; ".join(reasons))
        self._warn_of_slow_precision()
        varied = varied_settings(wanted)
        possible = [
            Listed(names_of(each.cell), varied(each.overrides), each.cell, each.status, each.is_prerequisite)
            for each in sorted(self.cells.values(), key=lambda each: not each.is_prerequisite)
        ]
        impossible = [Listed(self._names(each), varied(each.overrides)) for each in refused]
        limits = dict.fromkeys(line for cell in self._to_do() for line in self._limits(cell))
        return plan_table([*possible, *impossible], [*reasons, *limits])

    def annotate(self) -> None:
        """Buys what can be bought before training, cell by cell in this process, and prints a table of it.

        Raises SweepFailed at the end where purchases of a cell failed, or else ConfigError where cells were refused.
        """
        from benchmark.running.annotate_ahead import annotate_ahead  # imports torch, which takes seconds

        wanted = list(dict.fromkeys(self.asked))
        self._take_up_all(wanted, "annotate")
        self._warn_of_slow_precision()
        varied, done = varied_settings(wanted), []
        try:
            for number, each in enumerate(self.cells.values(), 1):
                if len(self.cells) > 1:
                    write_line(f"{number} of {len(self.cells)}: {each.cell.describe()}")
                done.append(
                    AheadRow(names_of(each.cell), varied(each.overrides), annotate_ahead(each.cell, write_line))
                )
        finally:
            if done:
                sys.stdout.write(report(done))
        failures = [cell.done.failure for cell in done if cell.done.failure is not None]
        if failures:
            one, several = failures[0], f"{len(failures)} of {len(done)} cells could not be prepared"
            others = f"; {len(self.refused)} others refused, as said at the beginning" if self.refused else ""
            raise SweepFailed((one if len(done) == 1 else f"{several}; the same command goes on") + others)
        self.refuse_rest()

    def refuse_rest(self) -> None:
        """Raises ConfigError with their number where cells were left out; for the end, when the others are done."""
        if self.refused:
            total = len(self.cells) + len(self.refused)
            raise ConfigError(f"{len(self.refused)} of {total} cells refused, as said at the beginning")

    def _to_do(self) -> list[Cell]:
        """The cells without a complete record."""
        return [each.cell for each in self.cells.values() if each.status != "complete"]

    def _warn_of_what_does_not_fit(self) -> None:
        warn_once(line for cell in self._to_do() for line in [*compatibility_lines(cell), *self._limits(cell)])

    def _limits(self, cell: Cell) -> list[str]:
        return limit_lines(cell, self.launcher.option, self.launcher.at_once)

    def _warn_of_slow_precision(self) -> None:
        warn_once(line for cell in self._to_do() for line in precision_warnings(cell))

    def _wanted(self) -> list[Overrides]:
        """The overrides of all cells, reference cells included, each once."""
        return list(dict.fromkeys([*self.asked, *(self._references() if self.with_references else ())]))

    def _take_up_all(self, wanted: Sequence[Overrides], mode: Mode) -> None:
        """Fills `cells` and `refused`, and says why cells are left out. Raises ConfigError as the class says."""
        refused = self._take_up(wanted, mode)
        reasons = _reasons(refused, len(wanted))
        if self._are_all(refused) or not all(cell.alone for cell in refused):
            raise ConfigError("; ".join(reasons))
        for reason in reasons:
            write_line(f"refused: {reason}")
        self.refused = refused

    def _are_all(self, refused: Sequence[RefusedCell]) -> bool:
        """Whether nothing is left of what the command asks for."""
        return bool(refused) and {cell.overrides for cell in refused}.issuperset(self.asked)

    def _take_up(self, wanted: Sequence[Overrides], mode: Mode) -> list[RefusedCell]:
        """Fills `cells` with the cells that can be done; returns the others."""
        refused: list[RefusedCell] = []
        asked, several = set(self.asked), False
        for overrides in wanted:
            cell = None
            if several and overrides not in asked:
                continue  # a reference of what is refused as a whole
            try:
                config = self.compose(overrides)
                hydra = config.hydra if "hydra" in config else HydraConfig.get()
                if overrides in asked:  # a reference leaves out what only training reads, the experiment's settings too
                    several = True
                    _refuse_several_sweeps(hydra, overrides)
                    several = False
                cell = read_cell(config, hydra)
                if cell.mode != mode:
                    raise ConfigError(f"mode={cell.mode} in a cell of a sweep with mode={mode}: {ONE_MODE}")
                if self._waits(cell, mode):
                    self.waiting.append(overrides)
                else:
                    CHECKS[mode](cell)
                    self._add(cell, overrides)
            except MemoryError:
                raise
            except Exception as error:  # a part or a library may raise anything
                refused.append(_refusal(error, overrides, cell))
        return self._with_references_in(refused)

    def _waits(self, cell: Cell, mode: Mode) -> bool:
        """Whether the cell has to wait for others, which are added. Raises ConfigError where they cannot be run."""
        if self.runs_prerequisites or mode == "plan":
            for start in cell.used_prerequisites:
                self._add_prerequisite(start, mode)
        missing = cell.missing_prerequisites
        if mode != "run" or not missing:
            return False
        known = [self.cells.get(start.cell_id) for start in missing]
        if not self.runs_prerequisites or any(each is None or each.status == "complete" for each in known):
            raise missing_prerequisite(missing[0])
        check_before_prerequisites(cell)
        return True

    def _add_prerequisite(self, start: StartingCell, mode: Mode) -> None:
        name = start.cell_id or " ".join(start.overrides)
        known = self.cells.get(name)
        if known is not None and known.is_prerequisite:
            return
        status = cell_on_disk(Path(start.cell.results_dir), start.cell_id).status if start.cell_id else "missing"
        try:
            if status != "complete":
                CHECKS[mode](start.cell)
        except ConfigError as error:
            raise type(error)(f"prerequisites.{start.name}: {error}") from error
        overrides = (*start.overrides, *(settled_for_jobs(start.cell) if mode == "run" else ()))
        others = {key: each for key, each in self.cells.items() if key != name}
        self.cells.clear()
        self.cells |= {name: GridCell(name, start.cell, overrides, status, is_prerequisite=True), **others}

    def _with_references_in(self, refused: Sequence[RefusedCell]) -> list[RefusedCell]:
        """The refused cells. An untrained student has the reason of its trained ones, where all of them are refused."""
        reasons = {cell.overrides: cell.reason for cell in refused}
        owners: dict[Overrides, list[str | None]] = {}
        for overrides in self.asked:
            owners.setdefault(reference_of(overrides), []).append(reasons.get(overrides))
        known = []
        for cell in refused:
            first, *rest = owners.get(cell.overrides, [None])
            goes_along = cell.alone and first is not None and None not in rest
            known.append(replace(cell, reason=str(first)) if goes_along else cell)
        return known

    def _add(self, cell: Cell, overrides: Overrides) -> None:
        unknown = student_download(cell) is not None or cell.missing_prerequisites
        if cell.mode == "annotate" or (cell.mode == "plan" and unknown):
            name = " ".join(overrides)  # its id holds what only the student can tell: content, or the hub's commit
            self.cells[name] = GridCell(name, cell, overrides, "missing")
            return
        identifier = cell_id(cell)
        if identifier not in self.cells:  # the same science twice in one grid runs once
            status = cell_on_disk(Path(cell.results_dir), identifier).status
            settled = settled_for_jobs(cell) if cell.mode == "run" else ()  # for jobs on other machines
            self.cells[identifier] = GridCell(identifier, cell, (*overrides, *settled), status)

    def _names(self, refused: RefusedCell) -> Names:
        """What a refused cell is called; where nobody could read it, as the command calls it."""
        if refused.cell is not None:
            return names_of(refused.cell)
        given = dict(map(key_and_value, refused.overrides))
        other = next(iter(self.cells.values())).cell  # what is not given here is given nowhere in the grid
        usual = (str(other.config["method"]), other.dataset.name, other.student.name, str(other.seed))
        method, dataset, student, seed = (given.get(*pair) for pair in zip(NAMED, usual, strict=True))
        return method, dataset, student, seed

    def _references(self) -> Iterator[Overrides]:
        """The untrained student of each dataset, student and seed, for the tables; none with `references=false`."""
        for overrides in dict.fromkeys(map(reference_of, self.asked)):
            try:
                wanted = self.compose(overrides).references
            except MemoryError:
                raise
            except Exception:
                continue  # the cell itself has the same fault, and its refusal says so
            if wanted:
                yield overrides


def grid_composer(loader: ConfigLoader, master: DictConfig) -> Callable[[Overrides], DictConfig]:
    """How a cell's config is composed inside a sweep."""

    def compose(overrides: Overrides) -> DictConfig:
        config = loader.load_sweep_config(master, list(overrides))
        HydraConfig.instance().set_config(config)
        return config

    return compose


def mode_of(given: Sequence[Override], config: DictConfig) -> str:
    """The mode of a whole command. Raises ConfigError where it is swept or is none."""
    ours = [override for override in given if override.key_or_group == "mode" and not override.is_delete()]
    for override in ours:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: it cannot be swept; {ONE_MODE}")
    value = ours[-1].value() if ours else config.get("mode", "run")
    return str(leaf(SCALARS["mode"], value, "mode"))


def _refusal(error: Exception, overrides: Overrides, cell: Cell | None) -> RefusedCell:
    """The refusal of a cell whose checks raised; raises the cause itself where the user wants tracebacks."""
    if isinstance(error, COMPOSING_ERRORS):
        alone = isinstance(error, ModelError)
        if alone and TRACEBACKS.get() and isinstance(error.__cause__, Exception):
            raise error.__cause__
        return RefusedCell(overrides, explain(error, _groups()), cell, alone)
    if TRACEBACKS.get():
        raise error
    where = "reading its config" if cell is None else f"{cell.method.name} on {cell.dataset.name}"
    return RefusedCell(overrides, f"{where}: {in_a_line(error)} ({_place(error)})", cell, alone=True)


def _groups() -> tuple[str, ...]:
    """The names of all groups that a command can choose from."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else ()
    return (*CHOICES, *nested_groups(source.path for source in sources if source.schema == "file"))


def _place(error: Exception) -> str:
    """Where an unexpected error was raised, and how to see more."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {Path(last.filename).name}, line {last.lineno}; HYDRA_FULL_ERROR=1 shows the traceback"


def _refuse_several_sweeps(hydra: Any, overrides: Overrides) -> None:
    """Hydra reads an experiment's own sweep only where it stands alone; beside another it drops it silently."""
    swept = {key_and_value(override)[0] for override in overrides}
    params = dict.fromkeys(hydra.sweeper.params or {})
    arms = [dict.fromkeys(key_and_value(each)[0] for each in arm) for arm in (hydra.sweeper.get("arms") or {}).values()]
    runs_an_arm = not arms or any(arm.keys() <= swept for arm in arms)
    if "experiment" in swept and not (params.keys() <= swept and runs_an_arm):
        keys = dict.fromkeys([*params, *(key for arm in arms for key in arm)])
        raise ConfigError(
            f"experiment={hydra.runtime.choices.experiment} is itself a sweep over {', '.join(keys)}; run it alone"
        )


def _reasons(refused: Sequence[RefusedCell], total: int) -> list[str]:
    """Every reason once, with the number of cells that it hits and one of them."""
    hit: dict[str, list[Overrides]] = {}
    for cell in refused:
        hit.setdefault(cell.reason, []).append(cell.overrides)
    return [
        f"{reason} ({len(where)} of {total} cells, such as {' '.join(map(shown, where[0]))})" if total > 1 else reason
        for reason, where in hit.items()
    ]
