"""What tables call a cell."""

from __future__ import annotations

from benchmark.cell.cell import Cell

Names = tuple[str, str, str, str]
"""Method, dataset, student and seed."""


def names_of(cell: Cell) -> Names:
    """What the table calls a cell."""
    return cell.method.name, cell.dataset.name, cell.student.name, str(cell.seed)
