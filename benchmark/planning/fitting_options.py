"""Which options of a group have what a cell lacks, for the refusal of one that has not. Other folders are left out."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from benchmark.config import build
from benchmark.config_folder import CONF
from benchmark.contract import Annotator


def formats_with(roles: Collection[str]) -> list[str]:
    """The names of the options in `conf/format/` whose class has all the roles.

    A class that sets its roles only as it is made counts as having none.
    """
    known = {option: getattr(_class(node), "roles", ()) for option, node in _options("format")}
    return [option for option, own in known.items() if isinstance(own, Collection) and set(roles) <= set(own)]


def reasoning_formats(roles: Collection[str], last: str) -> list[str]:
    """Of `formats_with(roles)` those whose answer path ends in the role `last`."""
    classes = {option: _class(node) for option, node in _options("format")}
    return [option for option in formats_with(roles) if classes[option].answer_path[-1] == last]


def explaining_formats() -> list[str]:
    """The names of the options in `conf/format/` whose class has an explanation path."""
    return [option for option, node in _options("format") if hasattr(_class(node), "explanation_path")]


def _class(node: Any) -> Any:
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def annotations_with(kinds: Collection[str]) -> list[str]:
    """The names of the options in `conf/annotation/` that write all the kinds."""
    return [option for option, node in _options("annotation") if set(kinds) <= _annotator(node).kinds]


def _annotator(node: Any) -> Annotator:
    annotator: Annotator = build(node, "annotation", Annotator)
    return annotator


def _options(group: str) -> Iterator[tuple[str, Any]]:
    """Name and content of each option of a group."""
    for file in sorted((CONF / group).glob("*.yaml")):
        yield file.stem, yaml.safe_load(file.read_text(encoding="utf-8"))
