"""Where the numbers of a table come from: the records behind each row, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.output.render import block_title, markdown_table
from analysis.output.tables import Block, Table, TableRow
from analysis.records.load import FinishedCell, Records

COLUMNS = ("method", "seed", "value", "commit", "record")


def trace_text(table: Table, records: Records) -> str:
    """Markdown: per block one line per row and record, with the record's own value and its path."""
    cells = {cell.names.cell_id: cell for cell in records.complete}
    parts = [
        f"### Records behind {block_title(block)}\n\n{markdown_table(COLUMNS, list(_rows(block, cells)))}"
        for block in table.blocks
    ]
    return "\n\n".join(parts) + "\n"


def _rows(block: Block, cells: dict[str, FinishedCell]) -> Iterator[list[str]]:
    for row in block.rows:
        for cell_id in row.record_ids.split():
            cell = cells[cell_id]
            value, path = _value(block, row, cell), str(cell.folder / "record.json")
            yield [row.name, str(cell.names.seed), value, cell.commit or "unknown", path]


def _value(block: Block, row: TableRow, cell: FinishedCell) -> str:
    """The value that the record itself holds."""
    if row.role == "teacher":
        return "" if cell.teacher_reference is None else f"{cell.teacher_reference.value:.4f}"
    key = block.key.test_dataset, block.key.metric
    return next(f"{test.value:.4f}" for test in cell.tests if (test.dataset, test.metric) == key)
