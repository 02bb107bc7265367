"""Turns a table into markdown, LaTeX, csv or HTML; `page` builds the HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analysis.output.columns import ALL, BOLD, headings, shown_columns, shown_rows
from analysis.output.notes import NOTED_COLUMNS, title_of
from analysis.output.page import html_page
from analysis.output.tables import Block, Table
from analysis.records.load import FailedCell
from benchmark.records.schema import CellNames

TEXT_COLUMNS = frozenset(
    {
        *("method", "gold", "records", "record", "error", "dataset", "student", "teacher"),
        *("effect", "difference (Tukey)", "construct", "pair", "model", "term", "file", "reason", "commit"),
        *("tag", "verdict", "dominated by"),
    }
)
TERMINAL_CHARACTERS = 120
"""A table with chosen columns fits into as many; names of rows are cut for it, and stand whole in notes."""
SHORTEST_NAME = 24
"""No name is cut below this length."""
FAILED_COLUMNS = ("record", "method", "dataset", "student", "teacher", "seed", "error")
LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "…": r"\ldots{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def render(table: Table, format_name: str, chosen: Sequence[str] = ALL) -> str:
    """The table in one of `FORMATS`, ending in a newline; csv holds the raw rows alone, without notes.

    Raises ResultsError for a chosen column that there is not.
    """
    return FORMATS[format_name](table, chosen)


def failed_rows(failed: Sequence[FailedCell], short_ids: Mapping[str, str]) -> list[list[str]]:
    """The failed cells in the order of `FAILED_COLUMNS`."""
    return [[*names_row(cell.names, short_ids), cell.error] for cell in failed]


def names_row(cell: CellNames, short_ids: Mapping[str, str]) -> list[str]:
    """One cell in the order of `FAILED_COLUMNS`, without an error."""
    who = [short_ids[cell.cell_id], cell.method, cell.dataset, cell.student, cell.teacher or "none"]
    return [*who, str(cell.seed)]


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table whose columns are aligned in a terminal too: text to the left, numbers to the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    left = [column in TEXT_COLUMNS for column in columns]
    rule = ["-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, left, strict=True)]
    return "\n".join(_markdown_line(line, widths, left) for line in [cells[0], rule, *cells[1:]])


def _markdown_line(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> str:
    padded = [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(cells, widths, left, strict=True)]
    return f"| {' | '.join(padded)} |"


def block_title(block: Block) -> str:
    """The block's title with the number of test questions."""
    sizes = sorted({row.test_examples for row in block.rows if row.test_examples and row.role != "teacher"})
    return f"{title_of(block.key)} ({' or '.join(f'{size:,}' for size in sizes)} test questions)"


def notes_for(table: Table, chosen: Sequence[str]) -> list[str]:
    """The notes, without those of columns that no block shows."""
    shown = {column.name for block in table.blocks for column in shown_columns(block, chosen)}
    return [note for note in table.notes if NOTED_COLUMNS.get(note) in {None, *shown}]


def to_markdown(table: Table, chosen: Sequence[str] = ALL) -> str:
    """All blocks, the failed cells and the notes as markdown that reads well in a terminal."""
    parts: list[str] = []
    names: list[str] = []
    for block in table.blocks:
        columns, rows = headings(block, chosen), shown_rows(block, table.short_ids, chosen)
        if "all" not in chosen:
            rows, cut = _fitted(columns, rows, len(names) + 1)
            names += cut
        parts.append(f"### {block_title(block)}\n\n{markdown_table(columns, rows)}")
    if not table.blocks:
        parts.append("No cell is complete yet.")
    if table.failed:
        rows = failed_rows(table.failed, table.short_ids)
        parts.append(f"### Failed cells ({len(rows)})\n\n{markdown_table(FAILED_COLUMNS, rows)}")
    if notes := [*notes_for(table, chosen), *names]:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], first: int) -> tuple[list[list[str]], list[str]]:
    """(the rows with names so short that a terminal holds the lines, a note for each name that was cut).

    `first` is the number of the first note.
    """
    others = [max(3, *map(len, cells)) for cells in zip(columns, *rows, strict=True)][1:]
    longest = max(SHORTEST_NAME, TERMINAL_CHARACTERS - sum(width + 3 for width in others) - 4)
    shown: list[list[str]] = []
    notes: list[str] = []
    for name, *cells in rows:
        short = name
        if len(name) > longest:
            mark = f"… [{first + len(notes)}]"
            notes.append(f"{mark[2:]} {name}")
            short = name[: longest - len(mark)] + mark
        shown.append([short, *cells])
    return shown, notes


def to_latex(table: Table, chosen: Sequence[str] = ALL) -> str:
    """One booktabs tabular per block, then the failed cells and the notes; needs booktabs and graphicx."""
    parts = ["% \\usepackage{booktabs,graphicx}"]
    for block in table.blocks:
        shown = shown_rows(block, table.short_ids, chosen)
        parts.append(_latex_block(block_title(block), headings(block, chosen), shown))
    if table.failed:
        parts.append(_latex_block("Failed cells", FAILED_COLUMNS, failed_rows(table.failed, table.short_ids)))
    notes = [f"\\par\\noindent {latex_escaped(note)}" for note in notes_for(table, chosen)]
    return "\n\n".join([*parts, "\n".join(notes)]).rstrip() + "\n"


def _latex_block(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    alignment = "".join("l" if column in TEXT_COLUMNS else "r" for column in columns)
    head, *body = [" & ".join(map(latex_escaped, row)) + r" \\" for row in (columns, *rows)]
    lines = [r"\begin{table}", r"\centering", f"\\caption{{{latex_escaped(title)}}}", r"\resizebox{\linewidth}{!}{%"]
    lines += [f"\\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}}", r"\end{table}"])


def latex_escaped(text: str) -> str:
    """The text with LaTeX's special characters escaped; bold where it stands between two marks of `BOLD`."""
    bare = text.removeprefix(BOLD).removesuffix(BOLD)
    escaped = bare.translate(LATEX_ESCAPES)
    return f"\\textbf{{{escaped}}}" if len(text) == len(bare) + 2 * len(BOLD) else escaped


def to_csv(table: Table, chosen: Sequence[str] = ALL) -> str:
    """The raw rows as csv, with fractions in [0, 1] and full ids; it always has all columns."""
    return str(table.frame.to_csv(index=False, lineterminator="\n"))


def to_html(table: Table, chosen: Sequence[str] = ALL) -> str:
    """An HTML page that needs no other file."""
    blocks = [
        (block_title(block), headings(block, chosen), shown_rows(block, table.short_ids, chosen))
        for block in table.blocks
    ]
    if table.failed:
        rows = failed_rows(table.failed, table.short_ids)
        blocks.append((f"Failed cells ({len(rows)})", list(FAILED_COLUMNS), rows))
    return html_page("Benchmark results", blocks, notes_for(table, chosen), TEXT_COLUMNS)


FORMATS: Mapping[str, Callable[[Table, Sequence[str]], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "html": to_html,
}
