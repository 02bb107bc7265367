"""What a section of the report is put together from; the template has one macro per kind of part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from markupsafe import Markup

from analysis.output.columns import BOLD
from analysis.output.text_table import TextTable

MOST_LISTED = 6
"""A sentence or a cell names so many things one by one."""
MOST_NOTES = 16
"""A list of notes from records has so many, at most."""
_NUMBER = re.compile(r"[~+-]?[\d.,]+(e[+-]?\d+)?( ± [\d.,]+)?\*?|-|unknown|not run")


@dataclass(frozen=True)
class Paragraph:
    """Text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Gap:
    """A sentence that says what is missing here, and how to get it."""

    kind: ClassVar[str] = "gap"
    text: str


@dataclass(frozen=True)
class Notes:
    """A list of sentences."""

    kind: ClassVar[str] = "notes"
    items: Sequence[str]


@dataclass(frozen=True)
class Definitions:
    """Terms, each with what it is here."""

    kind: ClassVar[str] = "definitions"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class SettingList:
    """Settings with their values, in several columns."""

    kind: ClassVar[str] = "settings"
    title: str
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    kind: ClassVar[str] = "commands"
    lines: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table whose rows may be linked with other rows of the page."""

    kind: ClassVar[str] = "grid"
    table: TextTable
    """Title, columns and rows."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """First cell of a row -> the anchor that it leads to."""
    anchors: Mapping[str, str] = field(default_factory=dict)
    """First cell of a row -> the row's own anchor."""

    @cached_property
    def are_numbers(self) -> list[bool]:
        """For each column, whether it holds numbers, which are set to the right."""
        columns = zip(*self.table.rows, strict=True)
        return [all(_NUMBER.fullmatch(cell.strip(BOLD)) for cell in cells) for cells in columns]


@dataclass(frozen=True)
class Drawing:
    """A picture, with its caption."""

    kind: ClassVar[str] = "drawing"
    figure: Markup


@dataclass(frozen=True)
class Folded:
    """Parts that are shown when a reader opens them."""

    kind: ClassVar[str] = "folded"
    title: str
    parts: Sequence[Part]


Part = Paragraph | Gap | Notes | Definitions | SettingList | Commands | Grid | Drawing | Folded


@dataclass(frozen=True)
class Section:
    """A numbered section of the page."""

    anchor: str
    """Its name in links on the page."""
    title: str
    """Its heading."""
    parts: Sequence[Part]
    """What it holds, in order."""


def bounded(notes: Sequence[str], most: int = MOST_NOTES) -> Notes:
    """The notes; of more than `most`, the number of the others."""
    more = len(notes) - most
    others = [f"And {more:,} more notes, which the commands of the last section print."] if more > 0 else []
    return Notes([*notes[:most], *others])


def listed(items: Sequence[str], most: int = MOST_LISTED, separator: str = ", ") -> str:
    """The items in one line; of more than `most`, the number of the others."""
    more = len(items) - most
    return separator.join([*items[:most], *([f"and {more:,} more"] if more > 0 else [])])
