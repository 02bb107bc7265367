"""The command line of `judge`, read and checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.cell.nested_groups import root_group
from benchmark.config import count_of, nearest
from benchmark.errors import ConfigError
from benchmark.records.schema import CONSTRUCTS

HOW = (
    "python -m benchmark judge RESULTS/FIRST RESULTS/SECOND teacher=NAME [teacher.KEY=VALUE ...] [questions=N] "
    "[constructs=NAME,...] [store_path=FILE]"
)
SETTINGS = ("teacher", "questions", "constructs", "store_path", "hydra.searchpath")


@dataclass(frozen=True)
class JudgeArguments:
    """What a command asks for."""

    first: Path
    """Folder of the first cell."""
    second: Path
    """Folder of the second cell."""
    teacher: tuple[str, ...]
    """The overrides that choose and set the teacher that judges, as Hydra takes them."""
    constructs: tuple[str, ...]
    """The constructs to ask about, in the order of `CONSTRUCTS`."""
    questions: int | None
    """How many of the common questions are judged; None takes all."""
    store_path: Path | None
    """File of the teacher store; None: `teacher_store.sqlite` beside the first cell."""


def read_arguments(arguments: Sequence[str]) -> JudgeArguments:
    """The arguments of one command. Raises ConfigError for one that is missing, unknown or wrong."""
    overrides, settings = [], dict[str, str]()
    for argument in (each for each in arguments if "=" in each):
        name, _, value = argument.partition("=")
        if root_group(name) == "teacher" or name == "hydra.searchpath":
            overrides.append(argument)
        elif name in SETTINGS:
            settings[name] = value
        else:
            raise ConfigError(f"{name}: there is no such setting{nearest(name, SETTINGS)}")
    folders = [each for each in arguments if "=" not in each]
    for wrong in (each for each in folders if each.startswith("-")):
        raise ConfigError(f"{wrong}: judge has no such option: {HOW}")
    if len(folders) != 2:
        raise ConfigError(f"judge compares two cells, and {len(folders)} are given: {HOW}")
    if not any(each.startswith("teacher=") for each in overrides):
        raise ConfigError(f"no judge is given, for example teacher=openai_compatible: {HOW}")
    first, second = (Path(each).expanduser() for each in folders)
    return JudgeArguments(
        first, second, tuple(overrides), _constructs(settings), _questions(settings), _store_path(settings)
    )


def _constructs(settings: dict[str, str]) -> tuple[str, ...]:
    if "constructs" not in settings:
        return tuple(CONSTRUCTS)
    wanted = [name.strip() for name in settings["constructs"].strip("[]").split(",")]
    for name in wanted:
        if name not in CONSTRUCTS:
            raise ConfigError(f"constructs={name}: there is no such construct{nearest(name, CONSTRUCTS)}")
    return tuple(name for name in CONSTRUCTS if name in wanted)


def _questions(settings: dict[str, str]) -> int | None:
    value = settings.get("questions")
    return None if value is None else count_of("questions", value)


def _store_path(settings: dict[str, str]) -> Path | None:
    if settings.get("store_path") == "":
        raise ConfigError("store_path is empty; give a file, or leave it out")
    return Path(settings["store_path"]).expanduser() if "store_path" in settings else None
