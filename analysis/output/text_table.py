"""A table of text with its title: what commands print as markdown and the report shows as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.output.render import markdown_table


@dataclass(frozen=True)
class TextTable:
    """Rows of text; every row has as many cells as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self, heading: str = "**{}**") -> str:
        """Title and table as markdown; `{}` in `heading` stands for the title."""
        return f"{heading.format(self.title)}\n\n{markdown_table(self.columns, self.rows)}"


def with_notes(parts: Iterable[str], notes: Sequence[str]) -> str:
    """The parts, then the notes as a markdown list; ends in a newline."""
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"
