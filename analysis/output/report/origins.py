"""Where the numbers come from, and how to get each of them again."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from analysis.output.render import block_title
from analysis.output.report.material import Material, records_anchor
from analysis.output.report.parts import Commands, Gap, Grid, Notes, Paragraph, Part, Section, listed
from analysis.output.tables import Block, TableRow
from analysis.output.text_table import TextTable
from analysis.records.load import FinishedCell
from analysis.statistics.grouping import natural_order

UNKNOWN = "unknown"
ORIGIN_COLUMNS = ("what", "value", "cells")
RECORD_COLUMNS = ("method", "seed: value (record)")
CHECKOUT = (
    "A commit with + behind it had changed files, which no commit holds: its numbers cannot be repeated from the "
    "commit alone. The same id means the same configuration; equal numbers also need the same kind of machine ('The "
    "same everywhere?' in docs/reading-results.md)."
)
NOT_RECORDED = "no argument, or not recorded"


def provenance(material: Material) -> Section:
    """Commits, versions and machines, each with the number of cells."""
    cells = material.records.complete
    if not cells:
        return Section("provenance", "Provenance", [Gap("No cell is complete yet.")])
    rows = [[what, value, f"{count:,}"] for what, value, count in _origins(cells)]
    finished = sorted(cell.provenance.finished for cell in cells if cell.provenance.finished)
    when = "No record says when its cell was finished."
    if finished:
        when = f"The cells finished from {finished[0]} to {finished[-1]}."
    grid = Grid(TextTable("What the cells were computed with", ORIGIN_COLUMNS, rows))
    return Section("provenance", "Provenance", [Paragraph(when), grid, Notes([CHECKOUT])])


def _origins(cells: Sequence[FinishedCell]) -> Iterator[tuple[str, str, int]]:
    """(what, its value, number of cells), the commonest value of each first."""
    made = [cell.provenance for cell in cells]
    yield from _counted("commit", (cell.commit or _no_commit(cell) for cell in cells))
    yield from _counted("engine version", (_text(each.engine_version) for each in made))
    yield from _counted("machine", (", ".join(cell.machine.words().values()) for cell in cells))
    yield from _counted("platform", (_text(each.platform) for each in made))
    yield from _counted("Python", (_text(each.python) for each in made))
    for name in sorted({name for each in made for name in each.packages}):
        yield from _counted(name, (_text(each.packages.get(name)) for each in made))


def _counted(what: str, values: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    yield from ((what, value, count) for value, count in Counter(values).most_common())


def _text(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def _no_commit(cell: FinishedCell) -> str:
    git = cell.provenance.git
    return UNKNOWN if git is None or git.unknown is None else f"{UNKNOWN}: {git.unknown}"


def repetition(material: Material) -> Section:
    """The command behind each group of cells, and the records behind each row of the results."""
    if not material.records.complete:
        return Section("repeat", "How to repeat each number", [Gap("No cell is complete yet.")])
    parts: list[Part] = [
        Paragraph(
            "The commands that ran the cells, as their records hold them. A cell that is complete in the results "
            "folder is not run again, so name a new results_dir to repeat it."
        ),
        *_commands(material),
        Paragraph("The commands that print the tables of this page from the records, as text or as csv:"),
        Commands(_analysis_commands(material)),
        Paragraph(
            "The records behind each row of the results, seed by seed; an id is the beginning of a folder's name, "
            "which holds record.json. Costs, curves and measures of explanations of a row come from the same records, "
            "and a difference also from the records of the baseline."
        ),
    ]
    parts += [_record_grid(material, number, block) for number, block in enumerate(material.table.blocks, 1)]
    return Section("repeat", "How to repeat each number", parts)


def _commands(material: Material) -> Iterator[Part]:
    """Each command, with the cells that it ran."""
    groups: defaultdict[tuple[str, ...], list[FinishedCell]] = defaultdict(list)
    for cell in material.records.complete:
        groups[cell.provenance.command].append(cell)
    ids = material.table.short_ids
    for command, cells in groups.items():
        line = shlex.join(["python", "-m", "benchmark", *command])
        yield Commands([line if command else f"{line}  # {NOT_RECORDED}"])
        methods = listed(sorted({cell.names.method for cell in cells}, key=natural_order), separator="; ")
        records = listed([ids[cell.names.cell_id] for cell in cells])
        yield Paragraph(f"Cells: {len(cells):,}. Methods: {methods}. Records: {records}.")


def _analysis_commands(material: Material) -> list[str]:
    results = [word for folder in material.records.folders for word in ("--results", str(folder))]
    names = ["table --columns all --trace"]
    names += ["compare --baseline METHOD"] if material.compared else []
    names += ["curves"] if material.several_rounds else []
    names += ["explanations"] if not material.explanations.frame.empty else []
    return [f"python -m analysis {name} {shlex.join(results)}" for name in (*names, "status")]


def _record_grid(material: Material, number: int, block: Block) -> Grid:
    rows = [(place, row) for place, row in enumerate(block.rows, 1) if row.record_ids]
    lines = [[row.name, "; ".join(_values(material, block, row))] for _, row in rows]
    anchors = {row.name: records_anchor(number, place) for place, row in rows}
    return Grid(TextTable(f"{block_title(block)}: records", RECORD_COLUMNS, lines), anchors=anchors)


def _values(material: Material, block: Block, row: TableRow) -> Iterator[str]:
    """Each record of a row: its seed, the value that it holds, and its short id; the teacher's value once."""
    ids, key = material.table.short_ids, (block.key.test_dataset, block.key.metric)
    cells = material.cells_of(row)
    if row.role == "teacher":
        values = sorted({cell.teacher_reference.value for cell in cells if cell.teacher_reference})
        yield f"{' or '.join(f'{value:.4f}' for value in values)} in {listed([ids[c.names.cell_id] for c in cells])}"
        return
    for cell in cells:
        value = next(test.value for test in cell.tests if (test.dataset, test.metric) == key)
        yield f"{cell.names.seed}: {value:.4f} ({ids[cell.names.cell_id]})"
