"""The protocol: which settings all rows share, and in which ones they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from analysis.output.columns import NO_VALUE
from analysis.output.render import block_title
from analysis.output.report.material import Material, trained_rows
from analysis.output.report.parts import Folded, Gap, Grid, Paragraph, Part, Section, SettingList, listed
from analysis.output.tables import Block
from analysis.output.text_table import TextTable
from analysis.records.settings import Settings, describe, varying_keys

AXES = ("schedule", "selection", "annotation", "weighting", "curriculum", "format", "loss")
"""The choices that make a method."""
SHOWN = (
    *("optimization", "evaluation", "budget", "data_seed", "pool", "test_examples", "engine"),
    *("dataset.pool_size", "dataset.validation_size", "dataset.test_size"),
    *("student.max_length", "student.max_new_tokens", "student.overlong"),
)
"""The settings of the protocol, by name or by group."""
CLASS = "_target_"
NOTHING = frozenset({"null", "[]"})
MEANING = (
    "Steps are optimiser steps of one training, a batch counts groups of examples (as a rule questions), and precision "
    "is what the cell computed in. Settings without a value are left out. Untrained students know no training, and are "
    "no row here."
)


def protocol(material: Material) -> Section:
    """What is equal everywhere; then per block what is equal there, what differs, and the choice on each axis."""
    blocks = [block for block in material.own_blocks if trained_rows(block)]
    if not blocks:
        return Section("protocol", "Protocol", [Gap("No method has finished a cell, so there is no setting to show.")])
    of_blocks = [_settings(material, block) for block in blocks]
    everywhere = _equal([own for settings in of_blocks for own in settings])
    parts: list[Part] = [Paragraph(MEANING), SettingList("Equal in all rows of all tables", _pairs(everywhere))]
    for block, settings in zip(blocks, of_blocks, strict=True):
        parts += _block_parts(block, settings, set(everywhere))
    return Section("protocol", "Protocol", parts)


def _settings(material: Material, block: Block) -> list[Settings]:
    """The settings of each trained row, with its number of test questions."""
    return [
        {**material.cells_of(row)[0].settings, "test_examples": str(row.test_examples)} for row in trained_rows(block)
    ]


def _equal(settings: Sequence[Settings]) -> Settings:
    """The settings of the protocol that have one value."""
    varying = set(varying_keys(settings))
    return {
        key: value
        for key, value in sorted(settings[0].items())
        if _is_shown(key) and key not in varying and value not in NOTHING
    }


def _pairs(settings: Settings) -> list[tuple[str, str]]:
    return [(key.removesuffix(f".{CLASS}"), _value(settings, key)) for key in settings]


def _is_shown(key: str) -> bool:
    if key.endswith(CLASS):
        return key.removesuffix(f".{CLASS}") in AXES
    return any(key == name or key.startswith(f"{name}.") for name in SHOWN)


def _value(settings: Settings, key: str) -> str:
    if key.endswith(CLASS) and key in settings:
        return str(json.loads(settings[key])).rpartition(".")[2]
    return describe(settings, [key]).removeprefix(f"{key}=")


def _block_parts(block: Block, settings: Sequence[Settings], everywhere: set[str]) -> Iterator[Part]:
    title, names, varying = block_title(block), [row.name for row in trained_rows(block)], varying_keys(settings)
    here = {key: value for key, value in _equal(settings).items() if key not in everywhere}
    if here:
        yield SettingList(f"{title}: equal in all rows here", _pairs(here))
    differing = [key for key in varying if _is_shown(key) and not key.endswith(CLASS)]
    if differing:
        table = [[key, value, who] for key in differing for value, who in _values(key, settings, names)]
        yield Grid(TextTable(f"{title}: differs between rows", ("setting", "value", "rows"), table))
    elif len(names) > 1:
        yield Paragraph(f"{title}: no setting of the protocol differs between rows.")
    if axes := [axis for axis in AXES if f"{axis}.{CLASS}" in varying]:
        yield _axes(f"{title}: the axes on which rows differ", names, settings, axes)
    if others := [key for key in varying if not _is_shown(key)]:
        table = [[key, _distinct(key, settings)] for key in others]
        yield Folded(
            f"{title}: {len(others)} further settings that differ (of axes, code and texts)",
            [Grid(TextTable("", ("setting", "values"), table))],
        )


def _values(key: str, settings: Sequence[Settings], names: Sequence[str]) -> list[tuple[str, str]]:
    """Each value of a setting, with the rows that have it."""
    rows: dict[str, list[str]] = {}
    for own, name in zip(settings, names, strict=True):
        rows.setdefault(_value(own, key), []).append(name)
    return [(value, listed(who, separator="; ")) for value, who in rows.items()]


def _distinct(key: str, settings: Sequence[Settings]) -> str:
    return listed(list(dict.fromkeys(_value(own, key) for own in settings)), most=4, separator=" · ")


def _axes(title: str, names: Sequence[str], settings: Sequence[Settings], axes: Sequence[str]) -> Grid:
    keys = [f"{axis}.{CLASS}" for axis in axes]
    rows = [
        [name, *(_value(own, key) if key in own else NO_VALUE for key in keys)]
        for name, own in zip(names, settings, strict=True)
    ]
    return Grid(TextTable(title, ("method", *axes), rows))
