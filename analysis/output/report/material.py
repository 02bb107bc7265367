"""Everything that the sections of the report are made from, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.output.explanations import MeasuredExplanations, measured_explanations
from analysis.output.report.examples import Examples, examples_of
from analysis.output.status import Status, build_status
from analysis.output.tables import Block, Table, TableRow, build_table
from analysis.records.load import FinishedCell, Problem, Records
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.compare import Comparison, blocks_with, comparisons
from analysis.statistics.curves import Curves, curves_of, methods_of

USUAL_BASELINE = "answer_only"


@dataclass(frozen=True)
class ComparedBlock:
    """The methods of one block beside its baseline."""

    curves: Curves
    """The block."""
    baseline: str | None
    """The baseline; None where the one that was asked for was not run."""
    found: tuple[Comparison, ...]
    """One comparison for each other method."""

    @property
    def title(self) -> str:
        """What the block is, with its metric."""
        return f"{self.curves.title}, {self.curves.metric}"


@dataclass(frozen=True)
class Material:
    """What was read, and what several sections need."""

    records: Records
    """The records."""
    cells: Mapping[str, FinishedCell]
    """The finished cells by id."""
    table: Table
    """The table over them."""
    compared: tuple[ComparedBlock, ...]
    """The blocks with rounds, each beside its baseline."""
    outcomes: OutcomeFiles
    """The scores of single test questions."""
    explanations: MeasuredExplanations
    """The measures of explanations, without simulatability."""
    examples: Examples
    """Questions with answers."""
    status: Status
    """What there is of the sweeps."""
    baseline: str | None
    """The method that was asked for as baseline; None if the usual one is taken."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All files that were skipped, each once."""
        found = [*self.status.problems, *self.outcomes.problems, *self.explanations.problems, *self.examples.problems]
        return tuple(dict.fromkeys(found))

    @property
    def several_rounds(self) -> list[ComparedBlock]:
        """The blocks whose learning curves have more than one point."""
        return [block for block in self.compared if block.curves.frame["round"].max() > 0]

    def cells_of(self, row: TableRow) -> list[FinishedCell]:
        """The cells behind a row of the table, ordered by seed."""
        return [self.cells[cell_id] for cell_id in row.record_ids.split()]

    @property
    def own_blocks(self) -> list[Block]:
        """The blocks of the datasets' own test sets, so that each cell's costs and settings come once per teacher."""
        return [block for block in self.table.blocks if block.key.test_dataset == block.key.dataset]


def gather(records: Records, baseline: str | None) -> Material:
    """Reads what the sections need.

    Raises NoBaselineError if a baseline is named that was run in no block.
    """
    curves = curves_of(records)
    if baseline is not None:
        blocks_with(curves, baseline)
    files = OutcomeFiles()
    table = build_table(records, files)
    cells = {cell.names.cell_id: cell for cell in records.complete}
    return Material(
        records=records,
        cells=cells,
        table=table,
        compared=tuple(_beside(block, baseline, files) for block in curves),
        outcomes=files,
        explanations=measured_explanations(records, simulate=False),
        examples=examples_of(table, cells),
        status=build_status(records),
        baseline=baseline,
    )


def _beside(curves: Curves, asked: str | None, files: OutcomeFiles) -> ComparedBlock:
    baseline = baseline_of(curves, asked)
    return ComparedBlock(curves, baseline, () if baseline is None else tuple(comparisons(curves, baseline, files)))


def baseline_of(curves: Curves, asked: str | None) -> str | None:
    """The method that others of the block are compared with.

    The one that was asked for, None where the block lacks it; else `answer_only`, also with other settings; else the
    first one.
    """
    methods = methods_of(curves)
    if asked is not None:
        return asked if asked in methods else None
    usual = [method for method in methods if method.split("+")[0].split(" ")[0] == USUAL_BASELINE]
    return min(usual, key=len) if usual else methods[0]


def trained_rows(block: Block) -> list[TableRow]:
    """The rows of methods, without references."""
    return [row for row in block.rows if row.role == "method"]


def records_anchor(block_number: int, row_number: int) -> str:
    """The anchor of the records behind a row of the table."""
    return f"records-{block_number}-{row_number}"
