"""The HTML page: one file without scripts or links, everything from records escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"

Block = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, columns, rows."""


def environment() -> Environment:
    """Reads the templates; it escapes every value, and a name that a template lacks is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )


def html_page(title: str, blocks: Sequence[Block], notes: Sequence[str], text_columns: Collection[str]) -> str:
    """The page as text; columns that are not among `text_columns` are set to the right."""

    def css_class(column: str) -> str:
        return column if column in text_columns else "number"

    template = environment().get_template("page.html.j2")
    return template.render(title=title, blocks=blocks, notes=notes, css_class=css_class)
