"""Tables for people, in a terminal and in markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def number(value: float) -> str:
    """The value as a whole number, with commas between thousands."""
    return f"{round(value):,}"


def usd(value: float) -> str:
    """US dollars with two decimals; an amount below one cent with two significant digits."""
    return f"{value:.2g}" if 0 < value < 0.01 else f"{value:,.2f}"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Collection[str]) -> str:
    """A markdown table that is also aligned in a terminal: `text_columns` to the left, all others to the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = [column in text_columns for column in columns]
    rule = ["-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, left, strict=True)]
    lines = [
        [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(line, widths, left, strict=True)]
        for line in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
