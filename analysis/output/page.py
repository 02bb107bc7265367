"""The HTML page: one file without scripts or links, everything from records escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"

Block = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, columns, rows."""


def html_page(title: str, blocks: Sequence[Block], notes: Sequence[str], text_columns: Collection[str]) -> str:
    """The page as text; columns that are not among `text_columns` are set to the right."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )

    def css_class(column: str) -> str:
        return column if column in text_columns else "number"

    def is_bold(cell: str) -> bool:
        return cell.startswith("**") and cell.endswith("**") and len(cell) > 4

    template = environment.get_template("page.html.j2")
    return template.render(title=title, blocks=blocks, notes=notes, css_class=css_class, is_bold=is_bold)
