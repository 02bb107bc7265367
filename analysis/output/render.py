"""Turns a table into markdown, LaTeX, csv or HTML; `page` builds the HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analysis.output.notes import title_of
from analysis.output.page import html_page
from analysis.output.tables import Block, Table, TableRow
from analysis.records.load import FailedCell
from benchmark.records.schema import CellNames

TEXT_COLUMNS = frozenset(
    {
        *("method", "gold", "records", "record", "error", "dataset", "student", "teacher"),
        *("effect", "difference (Tukey)", "construct", "pair", "model", "term", "file", "reason"),
        *("tag", "verdict"),
    }
)
FAILED_COLUMNS = ("record", "method", "dataset", "student", "teacher", "seed", "error")
NO_VALUE = "-"
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


def render(table: Table, format_name: str) -> str:
    """The table in one of `FORMATS`, ending in a newline; csv holds the raw rows alone, without notes."""
    return FORMATS[format_name](table)


def columns_of(block: Block) -> list[str]:
    """The block's column headings.

    Those for sampled and cut answers and reasoning exist only if some row has any, those for steps only if some cell
    trained more steps than its tested student.
    """
    sampled = ["majority@k %", "pass@k %", "k"] if _shows_samples(block) else []
    cut = ["cut %"] if _shows_cuts(block) else []
    reasoning = ["right reasoning %", "wrong behind right %"] if _shows_reasoning(block) else []
    score = [f"{block.key.metric} %", *sampled, "gap closed %", *cut, *reasoning]
    cost = ["questions", "calls", "tokens", "USD", "human labels"]
    steps = ["student steps", "all steps"] if _shows_steps(block) else []
    return ["method", *score, *cost, *steps, "tokens/answer", "seeds", "gold", "records"]


def shown_rows(block: Block, short_ids: Mapping[str, str]) -> list[list[str]]:
    """The block's rows as text, in the order of `columns_of`."""
    sampled, cut, reasoning = _shows_samples(block), _shows_cuts(block), _shows_reasoning(block)
    with_steps = _shows_steps(block)
    rows = []
    for row in block.rows:
        samples = _shown_samples(row) if sampled else []
        cuts = [_shown_share(row.cut_share)] if cut else []
        checked = _shown_reasoning(row) if reasoning else []
        trained = [_shown_number(row.student_steps), _shown_number(row.all_steps)] if with_steps else []
        rows.append(_shown_row(row, short_ids, samples, [*cuts, *checked], trained))
    return rows


def _shows_steps(block: Block) -> bool:
    return any(row.student_steps is not None and row.student_steps != row.all_steps for row in block.rows)


def _shows_reasoning(block: Block) -> bool:
    return any(row.reasoning_accuracy is not None for row in block.rows)


def _shows_cuts(block: Block) -> bool:
    return any(row.cut_share for row in block.rows)


def _shows_samples(block: Block) -> bool:
    return any(row.samples_per_question is not None for row in block.rows)


def _shown_reasoning(row: TableRow) -> list[str]:
    return [_shown_share(row.reasoning_accuracy), _shown_share(row.right_answer_wrong_reasoning)]


def _shown_samples(row: TableRow) -> list[str]:
    return [_shown_share(row.majority_at_k), _shown_share(row.pass_at_k), _shown_number(row.samples_per_question)]


def _shown_row(
    row: TableRow,
    short_ids: Mapping[str, str],
    sampled: Sequence[str],
    behind_gap: Sequence[str],
    steps: Sequence[str],
) -> list[str]:
    tilde = "~" if row.cost_estimated else ""
    seeds = NO_VALUE if row.num_seeds is None else str(row.num_seeds)
    gold = NO_VALUE if row.uses_gold is None else "yes" if row.uses_gold else "no"
    return [
        row.name,
        _shown_result(row),
        *sampled,
        _shown_share(row.gap_closed),
        *behind_gap,
        _shown_number(row.teacher_questions),
        _shown_number(row.teacher_calls),
        _shown_number(_total_tokens(row), tilde),
        _shown_usd(row, row.teacher_usd, tilde),
        _shown_number(row.human_questions) + (f" ({row.human_usd:,.2f} USD)" if row.human_usd else ""),
        *steps,
        NO_VALUE if row.completion_tokens_per_answer is None else f"{row.completion_tokens_per_answer:.1f}",
        seeds,
        gold,
        _shown_ids(row, short_ids),
    ]


def _shown_result(row: TableRow) -> str:
    if row.mean is None:
        return "not run"
    half_width = "" if row.high is None else f" ± {100 * (row.high - row.mean):.1f}"
    return f"{100 * row.mean:.1f}{half_width}"


def _shown_share(share: float | None) -> str:
    """A share in percent."""
    return NO_VALUE if share is None else f"{100 * share:.1f}"


def _shown_number(value: float | None, mark: str = "") -> str:
    """A whole number with thousands separated; a zero is never an estimate."""
    if value is None:
        return NO_VALUE
    return f"{mark if value else ''}{value:,.1f}".removesuffix(".0")


def _shown_usd(row: TableRow, usd: float | None, mark: str) -> str:
    if usd is None:
        return NO_VALUE if row.role == "teacher" or row.mean is None else "unknown"
    if 0 < usd < 0.01:
        return f"{mark}{usd:.2g}"
    return f"{mark if usd else ''}{usd:,.2f}"


def _total_tokens(row: TableRow) -> float | None:
    if row.teacher_prompt_tokens is None or row.teacher_completion_tokens is None:
        return None
    return round(row.teacher_prompt_tokens + row.teacher_completion_tokens)


def _shown_ids(row: TableRow, short_ids: Mapping[str, str]) -> str:
    """The short ids of the row's records; for the teacher's row, which many records repeat, only the first id."""
    ids = [short_ids[cell_id] for cell_id in row.record_ids.split()]
    if row.role == "teacher" and len(ids) > 1:
        return f"{ids[0]} and {len(ids) - 1} more"
    return " ".join(ids) or NO_VALUE


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


def to_markdown(table: Table) -> str:
    """All blocks, the failed cells and the notes as markdown that reads well in a terminal."""
    parts = []
    for block in table.blocks:
        shown = markdown_table(columns_of(block), shown_rows(block, table.short_ids))
        parts.append(f"### {block_title(block)}\n\n{shown}")
    if not table.blocks:
        parts.append("No cell is complete yet.")
    if table.failed:
        rows = failed_rows(table.failed, table.short_ids)
        parts.append(f"### Failed cells ({len(rows)})\n\n{markdown_table(FAILED_COLUMNS, rows)}")
    if table.notes:
        parts.append("\n".join(f"- {note}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def to_latex(table: Table) -> str:
    """One booktabs tabular per block, then the failed cells and the notes; needs booktabs and graphicx."""
    parts = ["% \\usepackage{booktabs,graphicx}"]
    for block in table.blocks:
        parts.append(_latex_block(block_title(block), columns_of(block), shown_rows(block, table.short_ids)))
    if table.failed:
        parts.append(_latex_block("Failed cells", FAILED_COLUMNS, failed_rows(table.failed, table.short_ids)))
    notes = [f"\\par\\noindent {latex_escaped(note)}" for note in table.notes]
    return "\n\n".join([*parts, "\n".join(notes)]).rstrip() + "\n"


def _latex_block(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    alignment = "".join("l" if column in TEXT_COLUMNS else "r" for column in columns)
    head, *body = [" & ".join(map(latex_escaped, row)) + r" \\" for row in (columns, *rows)]
    lines = [r"\begin{table}", r"\centering", f"\\caption{{{latex_escaped(title)}}}", r"\resizebox{\linewidth}{!}{%"]
    lines += [f"\\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}}", r"\end{table}"])


def latex_escaped(text: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return text.translate(LATEX_ESCAPES)


def to_csv(table: Table) -> str:
    """The raw rows as csv, with fractions in [0, 1] and full ids."""
    return str(table.frame.to_csv(index=False, lineterminator="\n"))


def to_html(table: Table) -> str:
    """An HTML page that needs no other file."""
    blocks = [(block_title(block), columns_of(block), shown_rows(block, table.short_ids)) for block in table.blocks]
    if table.failed:
        rows = failed_rows(table.failed, table.short_ids)
        blocks.append((f"Failed cells ({len(rows)})", list(FAILED_COLUMNS), rows))
    return html_page("Benchmark results", blocks, table.notes, TEXT_COLUMNS)


FORMATS: Mapping[str, Callable[[Table], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "html": to_html,
}
