"""The beginning of the report: the results in short, and what was compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from analysis.output.columns import NO_VALUE
from analysis.output.render import block_title
from analysis.output.report.material import ComparedBlock, Material, trained_rows
from analysis.output.report.parts import Definitions, Gap, Grid, Notes, Paragraph, Section, listed
from analysis.output.tables import Block, TableRow
from analysis.output.text_table import TextTable
from analysis.records.load import FinishedCell
from analysis.statistics.compare import Comparison
from analysis.statistics.grouping import natural_order

MOST_IN_SHORT = 12
"""So many blocks have a sentence at the beginning."""
UNCORRECTED = (
    "A highest mean is no proof: see the intervals and the differences below. Nothing is corrected for the number of "
    "comparisons."
)
METHOD_COLUMNS = ("method", "students", "datasets", "seeds", "teachers", "gold", "cells")
BLOCK_COLUMNS = ("dataset", "test set", "metric", "student", "teacher", "test questions", "methods", "cells")


def in_short(material: Material) -> Section:
    """The highest result of each block, its baseline, and how much of it is told apart."""
    sentences = [sentence for block in material.own_blocks for sentence in _sentences(material, block)]
    if not sentences:
        return Section("in-short", "In short", [Gap("No method has finished a cell yet, so there is no result.")])
    more = len(sentences) - MOST_IN_SHORT
    shown = [*sentences[:MOST_IN_SHORT], *([f"And {more:,} more, in the tables below."] if more > 0 else [])]
    return Section("in-short", "In short", [Notes(shown), Paragraph(UNCORRECTED)])


def _sentences(material: Material, block: Block) -> Iterator[str]:
    rows = trained_rows(block)
    if not rows:
        return
    best = max(rows, key=lambda row: row.mean or 0.0)
    yield (
        f"{block_title(block)}: of {_count(len(rows), 'row')}, {best.name} has the highest mean {block.key.metric}, "
        f"{_percent(best)}.{_told_apart(material, block)}"
    )


def _told_apart(material: Material, block: Block) -> str:
    compared = _beside(material, block)
    if compared is None or not compared.found:
        return ""
    sure, baseline, found = sum(map(_is_sure, compared.found)), compared.baseline, compared.found
    if all(each.final is None or each.final.half_width is None for each in found):
        return f" Against {baseline} there is no interval: no other row shares two seeds with it."
    return (
        f" Against {baseline}, the paired 95 % interval leaves out 0 for {sure} of {_count(len(found), 'other row')}."
    )


def _beside(material: Material, block: Block) -> ComparedBlock | None:
    """The comparisons of the block's own cells; None without rounds."""
    key = (block.key.dataset, block.key.student, block.key.teacher)
    ids = {cell_id for row in block.rows for cell_id in row.record_ids.split()}
    for each in material.compared:
        curves = each.curves
        if (curves.dataset, curves.student, curves.teacher) == key and curves.cells[0].names.cell_id in ids:
            return each
    return None


def _is_sure(one: Comparison) -> bool:
    return one.final is not None and one.final.half_width is not None and abs(one.final.mean) > one.final.half_width


def _percent(row: TableRow) -> str:
    mean = 100 * (row.mean or 0.0)
    width = "" if row.high is None else f" ± {100 * row.high - mean:.1f}"
    return f"{mean:.1f}{width} % over {_count(row.num_seeds or 0, 'seed')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def compared(material: Material) -> Section:
    """Datasets, students, teachers, methods, seeds and budgets, and how many cells of each."""
    cells = material.records.complete
    if not cells:
        return Section("compared", "What was compared", [Gap("No cell is complete yet.")])
    names = [cell.names for cell in cells]
    pairs = [
        ("Datasets", _values(name.dataset for name in names)),
        ("Students", _values(name.student for name in names)),
        ("Teachers", _values(name.teacher or "none" for name in names)),
        ("Methods", f"{len({name.method for name in names}):,}, listed below"),
        ("Seeds", _values(str(name.seed) for name in names)),
        ("Seeds of purchases", _values(str(cell.data_seed) for cell in cells)),
        ("Budgets of a cell", _values(_budget(cell) for cell in cells)),
        ("Cells", _states(material)),
    ]
    return Section("compared", "What was compared", [Definitions(pairs), _block_grid(material), _method_grid(cells)])


def _states(material: Material) -> str:
    states = list(material.status.states.values())
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    return ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))


def _values(values: Iterable[str]) -> str:
    return listed(sorted(set(values), key=natural_order), most=20)


def _budget(cell: FinishedCell) -> str:
    limits = [("questions", cell.budget.questions), ("calls", cell.budget.calls), ("tokens", cell.budget.tokens)]
    words = [f"{limit:,} {what}" for what, limit in limits if limit is not None]
    words += [f"{cell.budget.usd:g} USD"] if cell.budget.usd is not None else []
    return " and ".join(words) or "no limit"


def _block_grid(material: Material) -> Grid:
    rows = [
        [
            block.key.dataset, block.key.test_dataset, block.key.metric, block.key.student,
            block.key.teacher or "none", _sizes(block), str(len(trained_rows(block))),
            f"{len({cell_id for row in block.rows for cell_id in row.record_ids.split()}):,}",
        ]
        for block in material.table.blocks
    ]  # fmt: skip
    return Grid(TextTable("Tables: each holds what may be compared with each other", BLOCK_COLUMNS, rows))


def _sizes(block: Block) -> str:
    sizes = sorted({row.test_examples for row in block.rows if row.test_examples and row.role != "teacher"})
    return " or ".join(f"{size:,}" for size in sizes) or NO_VALUE


def _method_grid(cells: Sequence[FinishedCell]) -> Grid:
    of_method: dict[str, list[FinishedCell]] = {}
    for cell in cells:
        of_method.setdefault(cell.names.method, []).append(cell)
    rows = [
        [
            method,
            _values(cell.names.student for cell in found),
            _values(cell.names.dataset for cell in found),
            _values(str(cell.names.seed) for cell in found),
            _values(cell.names.teacher or "none" for cell in found),
            "yes" if any(cell.uses_gold for cell in found) else "no",
            f"{len(found):,}",
        ]
        for method, found in sorted(of_method.items(), key=lambda pair: natural_order(pair[0]))
    ]
    title = "Methods; gold: yes = the method read gold answers before training"
    return Grid(TextTable(title, METHOD_COLUMNS, rows))
