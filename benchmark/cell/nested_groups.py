"""Groups inside of groups (`loss/data_policy`): their names, and the group of the root that an override belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def root_group(key: str) -> str:
    """The group of the root that a key of an override is about: `loss` for `+loss/data_policy` and for `loss.x`."""
    return re.split(r"[./@]", key.lstrip("+~"), maxsplit=1)[0]


def nested_choices(choices: Mapping[str, str | None], group: str) -> dict[str, str | None]:
    """Name -> chosen option of every group below `group`, by the names that choose them on the command line."""
    return {name: option for name, option in choices.items() if name.startswith(f"{group}/")}


def nested_groups(folders: Iterable[str | Path]) -> list[str]:
    """The names of all groups inside of groups, from the folders that hold configs; absent folders hold none."""
    names: set[str] = set()
    for folder in map(Path, folders):
        for file in folder.glob("*/*/**/*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            if not group.startswith("hydra/"):
                names.add(group)
    return sorted(names)


def search_folders(arguments: Sequence[str]) -> list[str]:
    """The folders of every `hydra.searchpath=[...]` among the arguments of a command."""
    lists = [argument.partition("=")[2] for argument in arguments if argument.startswith("hydra.searchpath=")]
    return [
        folder.strip(" '\"").removeprefix("file://")
        for found in lists
        for folder in found.strip("[]").split(",")
        if not folder.strip(" '\"").startswith("pkg://")
    ]
