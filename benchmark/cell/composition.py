"""Builds a cell from a config that Hydra composed: every group becomes a checked object."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.cell.cell import Cell, StartingCell, UsableAssistant
from benchmark.cell.nested_groups import nested_choices
from benchmark.cell.precision import settle_precision
from benchmark.cell.starting_cells import named_prerequisites, search_path_of, starting_cells, with_folders
from benchmark.config import build, leaf, nearest
from benchmark.contract import Annotator, Curriculum, Format, Loss, Method, Schedule, Selection, Weighting
from benchmark.errors import ConfigError
from benchmark.evaluation.settings import EvaluationSettings
from benchmark.records.loggers import CellLogger
from benchmark.student.frozen import NoAssistant, NoDistributionTeacher, PretrainedDistributionTeacher
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import StudentSource
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.ledger import Budget
from benchmark.teachers.panel import Panel
from benchmark.teachers.teacher import Teacher

AXES: Mapping[str, Any] = {
    "schedule": Schedule,
    "selection": Selection,
    "annotation": Annotator,
    "weighting": Weighting,
    "curriculum": Curriculum,
    "format": Format,
    "loss": Loss,
}
GROUPS: Mapping[str, Any] = {
    "dataset": Dataset,
    "teacher": Teacher | Panel,
    "distribution_teacher": NoDistributionTeacher | PretrainedDistributionTeacher,
    "assistant": NoAssistant | UsableAssistant,
    "student": StudentSource,
    **AXES,
    "budget": Budget,
    "optimization": Optimization,
    "trainer": TrainerSettings,
    "evaluation": EvaluationSettings,
    "logger": CellLogger,
}
CHOICES = (*GROUPS, "method", "experiment")
"""Names of all groups, from which a user chooses by GROUP=OPTION."""
SCALARS: Mapping[str, Any] = {
    "method": str,
    "mode": Literal["run", "annotate", "plan"],
    "seed": int,
    "data_seed": int,
    "pool": Literal["all", "covered"],
    "results_dir": str,
    "data_dir": str | None,
    "store_path": str | None,
    "references": bool,
    "prerequisites": Mapping[str, tuple[str, ...]],
}
PATH_NAMES = ("path", "dir", "file")
"""How the names of settings end that hold a path."""
MOVING_PATHS = ("results_dir", "store_path")
"""Paths that the plan, every job and a command that is issued again must find."""
_RESOLVER = re.compile(r"\$\{([^${}:]+:(?:runtime\.)?)")
_STEADY = re.compile(r"oc\..*|home:|hydra:runtime\.")


def read_cell(config: DictConfig, hydra: DictConfig | HydraConf, is_prerequisite: bool = False) -> Cell:
    """The cell of a composed config. Raises ConfigError for an unknown, missing or wrong setting, before any work.

    With `is_prerequisite`, paths of the form `cell:NAME` stay as they are.
    """
    _refuse_absent_search_path(hydra)
    _refuse_moving_paths(config)
    plain = _plain(config)
    known = (*GROUPS, *SCALARS)
    for key in plain:
        if key not in known:
            raise ConfigError(f"{key}: there is no such setting{nearest(key, known)}")
    for key in known:
        if key not in plain:
            raise ConfigError(f"{key} is missing from the configuration; it must not be removed")
    scalars = {name: leaf(hint, plain[name], name) for name, hint in SCALARS.items()}
    if not scalars["results_dir"]:
        raise ConfigError("results_dir is empty; give the folder that records are written to")
    if scalars["store_path"] == "":
        raise ConfigError("store_path is empty; give a file, or null for teacher_store.sqlite in results_dir")
    starts: tuple[StartingCell, ...] = ()
    named = {} if is_prerequisite else named_prerequisites({name: plain[name] for name in GROUPS})
    if named:
        starts = starting_cells(
            named, scalars["prerequisites"], list(hydra.overrides.task), search_path_of(hydra), _reader(hydra)
        )
        plain |= with_folders({name: plain[name] for name in GROUPS}, starts)
    parts, precisions = settle_precision({name: build(plain[name], name, kind) for name, kind in GROUPS.items()})
    return Cell(
        method=Method(name=method_label(config, hydra), **{axis: parts[axis] for axis in AXES}),
        **{name: part for name, part in parts.items() if name not in AXES},
        extra_datasets=tuple(_extra_datasets(parts["evaluation"].extra, parts["dataset"].name, config, hydra)),
        **{name: scalars[name] for name in SCALARS if name not in ("method", "data_dir", "prerequisites")},
        config=plain,
        precisions=precisions,
        starts_from=starts,
    )


def _reader(hydra: DictConfig | HydraConf) -> Callable[[tuple[str, ...]], Cell]:
    """How a prerequisite is composed and read."""

    def read(overrides: tuple[str, ...]) -> Cell:
        config = _composed(overrides, search_path_of(hydra))
        return read_cell(config, config.hydra, is_prerequisite=True)

    return read


def _refuse_absent_search_path(hydra: DictConfig | HydraConf) -> None:
    """Raises ConfigError for a missing folder of `hydra.searchpath`; Hydra would only warn, and run without it."""
    for source in hydra.runtime.config_sources:
        if (
            source.provider.startswith("hydra.searchpath")
            and source.schema == "file"
            and not Path(source.path).is_dir()
        ):
            raise ConfigError(f"hydra.searchpath: there is no folder {source.path}")


def _refuse_moving_paths(config: DictConfig) -> None:
    """Raises ConfigError for a path with a resolver that may give another value to the plan, a job or a resumed run."""
    written_paths = OmegaConf.to_container(OmegaConf.masked_copy(config, list(MOVING_PATHS)), resolve=False)
    for name, path in cast("dict[str, Any]", written_paths).items():
        written = str(path)
        moving = next((found for found in _RESOLVER.findall(written) if not _STEADY.fullmatch(found)), None)
        if moving is not None:
            raise ConfigError(
                f"{name}={written}: ${{{moving}...}} may give another folder to every cell and to a command that is "
                f"issued again, so that nothing is found again; let the shell fill it in once, as in "
                f'{name}="out/$(date +%F_%H-%M-%S)"'
            )


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = _resolved(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    return {str(key): value for key, value in plain.items()}


def _resolved(node: DictConfig) -> Any:
    try:
        return _at_home(OmegaConf.to_container(node, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def _at_home(value: Any, name: str = "") -> Any:
    """Plain data in which `~` begins the home folder, wherever a setting is a path by its name."""
    if isinstance(value, dict):
        return {key: _at_home(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_at_home(item, name) for item in value]
    is_path = isinstance(value, str) and value.startswith("~") and name.endswith(PATH_NAMES)
    return os.path.expanduser(value) if is_path else value


def _extra_datasets(
    options: Sequence[str], own: str, config: DictConfig, hydra: DictConfig | HydraConf
) -> Iterator[Dataset]:
    """The datasets of `evaluation.extra`. Raises ConfigError if one is unknown, or if two have the same name."""
    names = [own]
    for option in options:
        dataset: Dataset = build(_dataset_node(option, config, hydra), f"evaluation.extra.{option}", Dataset)
        if dataset.name in names:
            raise ConfigError(
                f"evaluation.extra: {option} is called {dataset.name!r}, and the student is tested on {dataset.name!r} "
                "already; leave it out, or give one of the two another name in a separate YAML file"
            )
        if "/" in dataset.name:
            raise ConfigError(
                f"evaluation.extra: the name {dataset.name!r} of {option} cannot be part of a file's name"
            )
        names.append(dataset.name)
        yield dataset


def _dataset_node(option: str, config: DictConfig, hydra: DictConfig | HydraConf) -> Any:
    """The config of `dataset=OPTION` as plain data, resolved as if it were this cell's own dataset."""
    try:
        node = _composed((f"dataset='{option}'",), search_path_of(hydra)).dataset
    except MissingConfigException as error:
        if error.missing_cfg_file != f"dataset/{option}":
            raise
        hint = nearest(option, error.options or ())
        raise ConfigError(f"evaluation.extra: there is no dataset {option!r}{hint}") from error
    ours = copy.deepcopy(config)
    ours.dataset = node
    return _resolved(ours.dataset)


def method_label(config: DictConfig, hydra: DictConfig | HydraConf) -> str:
    """The preset's name, followed by every choice and setting in which the cell differs from it.

    For example `elad+selection=random+loss/data_policy=on_policy`. Settings are compared with the chosen options.
    """
    chosen = hydra.runtime.choices
    search_path, name = search_path_of(hydra), f"method={chosen['method']}"
    preset = _composed((name,), search_path).hydra.runtime.choices
    parts = [str(chosen["method"])]
    for axis in AXES:
        other = [f"{axis}={chosen[axis]}"] if chosen[axis] != preset[axis] else []
        usual = _composed((name, *other), search_path)
        nested = nested_choices(usual.hydra.runtime.choices, axis)
        for group, option in nested_choices(chosen, axis).items():
            if group not in nested or option != nested[group]:
                other.append(f"{'' if group in nested else '+'}{group}={'null' if option is None else option}")
        usual = _composed((name, *other), search_path)
        parts += [choice.lstrip("+") for choice in other]
        parts += _differences(axis, _unresolved(usual[axis]), _unresolved(config[axis]))
    return "+".join(parts)


def _differences(at: str, before: Any, after: Any) -> list[str]:
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys((*before, *after))
        return [part for key in keys for part in _differences(f"{at}.{key}", before.get(key), after.get(key))]
    return [f"{at}={after}"]


def _unresolved(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=False)


@lru_cache(maxsize=256)
def _composed(overrides: tuple[str, ...], search_path: tuple[str, ...]) -> DictConfig:
    """The root config composed with nothing but these overrides."""
    loader = GlobalHydra.instance().config_loader()
    return loader.load_configuration("config", [*search_path, *overrides], RunMode.RUN)
