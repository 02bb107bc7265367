"""Named prerequisites: `student.path=cell:NAME` is the student that another cell of the same command exports."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from benchmark.cell.cell import STARTS_FROM, Cell, StartingCell
from benchmark.cell.nested_groups import root_group
from benchmark.cell.precision import settled_overrides
from benchmark.cell.sources import student_download
from benchmark.config import COMPOSING_ERRORS, explain, nearest
from benchmark.errors import ConfigError, ModelError

SHARED = ("experiment", "dataset", "data_dir", "results_dir", "store_path", "trainer", "logger")
"""What a prerequisite has in common with the cells that start from it; its own list overrides it."""
EXPORTS = "trainer.save_student=true"


def named_prerequisites(groups: Mapping[str, Any]) -> dict[str, str]:
    """Setting (`student.path`) -> name of a prerequisite, for every `path: cell:NAME` in plain configs of groups."""
    return dict(_named(groups, ""))


def _named(node: Any, at: str) -> Iterator[tuple[str, str]]:
    for key, value in node.items() if isinstance(node, Mapping) else ():
        place = f"{at}.{key}" if at else str(key)
        if key == "path" and isinstance(value, str) and value.startswith(STARTS_FROM):
            yield place, value.removeprefix(STARTS_FROM)
        else:
            yield from _named(value, place)


def with_folders(groups: Mapping[str, Any], starts: Sequence[StartingCell]) -> dict[str, Any]:
    """The groups with the folder of its student in place of every `cell:NAME`."""
    folders = {setting: each.folder for each in starts for setting in each.settings}
    return {str(name): _replaced(node, str(name), folders) for name, node in groups.items()}


def _replaced(node: Any, at: str, folders: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {key: _replaced(value, f"{at}.{key}", folders) for key, value in node.items()}
    return folders.get(at, node)


def starting_cells(
    named: Mapping[str, str],
    prerequisites: Mapping[str, Sequence[str]],
    overrides: Sequence[str],
    search_path: Sequence[str],
    read: Callable[[tuple[str, ...]], Cell],
) -> tuple[StartingCell, ...]:
    """The prerequisites that settings of a cell name.

    Args:
        named: setting -> name, as `named_prerequisites` returns it.
        prerequisites: name -> overrides, as the config of the cell has it.
        overrides: the overrides of the cell itself.
        search_path: the overrides that name further folders with options.
        read: composes and reads the cell of overrides.

    Raises:
        ConfigError: a name is unknown, its overrides make no cell that can export a student, or that cell starts from
            a cell itself.
    """
    starts = []
    for name in dict.fromkeys(named.values()):
        settings = tuple(setting for setting, theirs in named.items() if theirs == name)
        if name not in prerequisites:
            hint = nearest(name, prerequisites) or "; the configuration has none: give prerequisites={NAME: [...]}"
            raise ConfigError(f"{settings[0]}={STARTS_FROM}{name}: there is no such prerequisite{hint}")
        own = tuple(prerequisites[name])
        shared = tuple(each for each in overrides if root_group(each.partition("=")[0]) in SHARED)
        starts.append(_starting_cell(name, settings, (*shared, *own, EXPORTS), search_path, read))
    return tuple(starts)


def _starting_cell(
    name: str,
    settings: tuple[str, ...],
    overrides: tuple[str, ...],
    search_path: Sequence[str],
    read: Callable[[tuple[str, ...]], Cell],
) -> StartingCell:
    from benchmark.cell.composition import CHOICES
    from benchmark.cell.identity import cell_id

    at = f"prerequisites.{name}"
    try:
        cell = read(overrides)
    except COMPOSING_ERRORS as error:
        kind = ModelError if isinstance(error, ModelError) else ConfigError
        raise kind(f"{at}: {explain(error, CHOICES)}") from error
    for slot, path in cell.model_paths.items():
        if path is not None and path.startswith(STARTS_FROM):
            raise ConfigError(
                f"{at}: its {slot} is {path}, but a prerequisite cannot start from another; give it a folder, or leave "
                f"{path} to the cells that the experiment sweeps over"
            )
    if not cell.method.trains():
        raise ConfigError(f"{at}: method={cell.method.name} trains no student that a cell could start from")
    alone = ("hydra.mode=RUN",) if any(each.startswith("experiment=") for each in overrides) else ()  # no sweep of it
    identifier = cell_id(cell) if student_download(cell) is None else ""
    return StartingCell(
        name=name,
        settings=settings,
        cell=cell,
        cell_id=identifier,
        folder=str(Path(cell.results_dir) / (identifier or f"{STARTS_FROM}{name}") / "student"),
        overrides=overrides,
        command=shlex.join(["python", "-m", "benchmark", *search_path, *overrides, *alone]),
    )


def settled_for_jobs(cell: Cell) -> tuple[str, ...]:
    """Overrides by which a job on another machine runs exactly this cell, whatever that machine would find out."""
    folders = [f"{setting}='{_escaped(each.folder)}'" for each in cell.starts_from for setting in each.settings]
    return (*settled_overrides(cell), *folders)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def missing_prerequisite(start: StartingCell) -> ModelError:
    """The refusal of a cell that cannot start, with the command that makes what is missing."""
    wanted = f"{start.settings[0]}={STARTS_FROM}{start.name}"
    if not start.cell_id:
        return ModelError(f"{wanted}: the cell is not there yet; make it with: {start.command}")
    return ModelError(
        f"{wanted}: there is no folder {start.folder}; make it with: {start.command} (with -m, a command makes it "
        f"first; where {Path(start.folder).parent} is complete without it, delete that folder before)"
    )


def search_path_of(hydra: DictConfig | Any) -> tuple[str, ...]:
    """The overrides that name further folders with options."""
    return tuple(override for override in hydra.overrides.hydra if override.startswith("hydra.searchpath"))
