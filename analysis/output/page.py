"""The HTML page: one file without scripts or links, everything from records escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.output.columns import BOLD

TEMPLATES = Path(__file__).parent / "templates"

Block = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, columns, rows."""


def is_bold(cell: str) -> bool:
    """Whether a cell stands between two marks of bold text, as in markdown."""
    return cell.startswith(BOLD) and cell.endswith(BOLD) and len(cell) > 2 * len(BOLD)


def environment() -> Environment:
    """Reads the templates; it escapes every value, and a name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    made.tests["bold"] = is_bold
    return made


def html_page(title: str, blocks: Sequence[Block], notes: Sequence[str], text_columns: Collection[str]) -> str:
    """The page as text; columns that are not among `text_columns` are set to the right."""

    def css_class(column: str) -> str:
        return column if column in text_columns else "number"

    template = environment().get_template("page.html.j2")
    return template.render(title=title, blocks=blocks, notes=notes, css_class=css_class)
