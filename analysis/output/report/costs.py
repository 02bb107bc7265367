"""What the results cost: the ledger by source, what local models computed, and the time of each phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from analysis.output.columns import NO_VALUE, number
from analysis.output.render import block_title
from analysis.output.report.material import Material
from analysis.output.report.parts import Gap, Grid, Notes, Part, Section
from analysis.output.tables import Block, TableRow
from analysis.output.text_table import TextTable
from analysis.records.load import FinishedCell
from benchmark.records.schema import NOTHING, LedgerEntry

LEDGER_COLUMNS = ("method", "source", "questions", "calls", "prompt tokens", "reply tokens", "USD", "USD paid")
COMPUTED_COLUMNS = ("method", "model and phase", "tokens read", "tokens written")
TRAINING_COLUMNS = ("all steps", "student steps", "training tokens", "TFLOP", "peak GB")
NOTES = (
    "All numbers are means per cell, over the seeds of the row. Charged is what the cell would have paid if it had "
    "bought every distinct request itself; paid is what it really paid, since replies from the store cost nothing.",
    "Seconds are of the clock, on the machines that the section on provenance names. Curriculum and data policy work "
    "inside of training and count apart from it. TFLOP: 10^12 floating-point operations, by the estimate of 6 per "
    "weight and token.",
)


def costs(material: Material) -> Section:
    """The ledgers and clocks of all rows."""
    blocks = [block for block in material.own_blocks if any(_has_cells(row) for row in block.rows)]
    parts = [part for block in blocks for part in _block_parts(material, block)]
    if not parts:
        return Section("costs", "Costs", [Gap("No cell is complete yet, so nothing was charged.")])
    return Section("costs", "Costs", [*parts, Notes(NOTES)])


def _has_cells(row: TableRow) -> bool:
    return row.role != "teacher" and bool(row.record_ids)


def _block_parts(material: Material, block: Block) -> list[Part]:
    title = block_title(block)
    rows = [(row.name, material.cells_of(row)) for row in block.rows if _has_cells(row)]
    ledger = [line for name, cells in rows for line in _ledger_lines(name, cells)]
    computed = [line for name, cells in rows for line in _computed_lines(name, cells)]
    parts: list[Part] = []
    if ledger:
        parts.append(Grid(TextTable(f"{title}: charged by source", LEDGER_COLUMNS, ledger)))
    else:
        parts.append(Gap(f"{title}: no source was charged."))
    if computed:
        parts.append(Grid(TextTable(f"{title}: computed by local models", COMPUTED_COLUMNS, computed)))
    return [*parts, _time_grid(title, rows), _training_grid(title, rows)]


def _ledger_lines(name: str, cells: Sequence[FinishedCell]) -> list[list[str]]:
    sources = sorted({source for cell in cells for source in (*cell.charged, *cell.spent)})
    lines = []
    for source in sources:
        charged = [cell.charged.get(source, NOTHING) for cell in cells]
        spent = [cell.spent.get(source, NOTHING) for cell in cells]
        amounts = [_mean_of(charged, lambda entry: entry.questions), _mean_of(charged, lambda entry: entry.calls)]
        amounts += _tokens(charged)
        mark = "~" if any(cell.cost_estimated for cell in cells) and source != "human" else ""
        prices = [_price(charged, mark), _price(spent, mark)]
        lines.append([name, source, *(number(_whole(amount)) for amount in amounts), *prices])
    return lines


def _computed_lines(name: str, cells: Sequence[FinishedCell]) -> list[list[str]]:
    books = [cell.rounds[-1].computed if cell.rounds else {} for cell in cells]
    lines = []
    for source in sorted({source for book in books for source in book}):
        entries = [book.get(source, NOTHING) for book in books]
        lines.append([name, source, *(number(_whole(amount)) for amount in _tokens(entries))])
    return lines


def _tokens(entries: Sequence[LedgerEntry]) -> list[float | None]:
    return [
        _mean_of(entries, lambda entry: entry.prompt_tokens),
        _mean_of(entries, lambda entry: entry.completion_tokens),
    ]


def _mean_of(entries: Sequence[LedgerEntry], amount: Callable[[LedgerEntry], float | None]) -> float | None:
    return _mean([amount(entry) for entry in entries])


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of the values is unknown."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _whole(amount: float | None) -> float | None:
    return None if amount is None else round(amount)


def _price(entries: Sequence[LedgerEntry], mark: str) -> str:
    usd = _mean_of(entries, lambda entry: entry.usd)
    if usd is None:
        return "unknown"
    return f"{mark if usd else ''}{usd:.2g}" if 0 < usd < 0.01 else f"{mark if usd else ''}{usd:,.2f}"


def _time_grid(title: str, rows: Sequence[tuple[str, list[FinishedCell]]]) -> Grid:
    phases = sorted({phase for _, cells in rows for cell in cells for phase in cell.seconds_by_phase})
    columns = ("method", *(phase.replace("_", " ") for phase in phases), "whole cell")
    lines = [
        [
            name,
            *(_seconds([cell.seconds_by_phase.get(phase) for cell in cells]) for phase in phases),
            _seconds([cell.seconds for cell in cells]),
        ]
        for name, cells in rows
    ]
    return Grid(TextTable(f"{title}: seconds by phase, and of the whole cell", columns, lines))


def _seconds(values: Sequence[float | None]) -> str:
    mean = _mean(values)
    return NO_VALUE if mean is None else f"{mean:,.1f}"


def _training_grid(title: str, rows: Sequence[tuple[str, list[FinishedCell]]]) -> Grid:
    lines = [[name, *_training(cells)] for name, cells in rows]
    return Grid(TextTable(f"{title}: training", ("method", *TRAINING_COLUMNS), lines))


def _training(cells: Sequence[FinishedCell]) -> list[str]:
    memory = _mean([cell.train.peak_memory_bytes for cell in cells])
    flops = _mean([cell.train.flops for cell in cells]) or 0.0
    return [
        number(_mean([cell.train.optimiser_steps for cell in cells])),
        number(_mean([cell.train.final_student_steps for cell in cells])),
        number(_whole(_mean([cell.train.tokens for cell in cells]))),
        f"{flops / 1e12:,.2g}" if flops < 1e13 else f"{flops / 1e12:,.0f}",
        NO_VALUE if memory is None else f"{memory / 1e9:.2f}",
    ]
