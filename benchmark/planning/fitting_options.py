"""Which options of a group a cell could choose instead, for the refusal of its own. Other folders are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import yaml

from benchmark.cell.cell import Cell
from benchmark.config import build
from benchmark.config_folder import CONF
from benchmark.contract import Annotator, ExplainingFormat, Format
from benchmark.tasks.dataset import Splits


def formats_with(cell: Cell, splits: Splits, roles: Collection[str]) -> list[str]:
    """The names of the options in `conf/format/` that have all the roles, and that suit the cell's data."""
    return [name for name, form in _suitable_formats(cell, splits) if set(roles) <= set(form.roles)]


def reasoning_formats(cell: Cell, splits: Splits, roles: Collection[str], last: str) -> list[str]:
    """Of `formats_with` these roles those whose answer path ends in the role `last`."""
    suitable = _suitable_formats(cell, splits)
    return [name for name, form in suitable if set(roles) <= set(form.roles) and form.answer_path[-1] == last]


def explaining_formats(cell: Cell, splits: Splits) -> list[str]:
    """The names of the options in `conf/format/` in which the student can be asked to explain."""
    return [name for name, form in _suitable_formats(cell, splits) if isinstance(form, ExplainingFormat)]


def annotations_with(kinds: Collection[str]) -> list[str]:
    """The names of the options in `conf/annotation/` that write all the kinds."""
    return [name for name, annotator in _built("annotation", Annotator) if set(kinds) <= annotator.kinds]


def _suitable_formats(cell: Cell, splits: Splits) -> Iterator[tuple[str, Format]]:
    """The formats that learn from what the cell's annotation writes about the cell's questions."""
    has_choices = all(example.choices for example in splits.pool)
    for name, form in _built("format", Format):
        needs = form.requires()
        if needs.annotation_kinds <= cell.method.annotation.kinds and (has_choices or not needs.choices):
            yield name, form


def _built(group: str, kind: Any) -> Iterator[tuple[str, Any]]:
    """Name and component of each option of a group."""
    for file in sorted((CONF / group).glob("*.yaml")):
        yield file.stem, build(yaml.safe_load(file.read_text(encoding="utf-8")), group, kind)
