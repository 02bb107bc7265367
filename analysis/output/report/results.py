"""The results: tables, differences to a baseline, accuracy against tokens, learning curves, and explanations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from analysis.output.columns import DECIDING, headings, shown_rows
from analysis.output.comparison import comparison_notes, comparison_tables
from analysis.output.curves import curve_notes, curve_tables
from analysis.output.explanations import explanation_notes, explanation_tables
from analysis.output.plots.curves import draw_curves
from analysis.output.plots.frontier import FRONTIER, Cost, draw_frontier, frontier_frames
from analysis.output.render import block_title, notes_for
from analysis.output.report.material import Material, records_anchor
from analysis.output.report.parts import Drawing, Folded, Gap, Grid, Notes, Paragraph, Part, Section, bounded, listed
from analysis.output.report.picture import picture
from analysis.output.tables import Block
from analysis.output.text_table import TextTable
from analysis.records.explained import HOW_TO_EXPLAIN

MOST_PICTURES = 8
"""A section draws so many blocks; the tables have all."""
HOW_TO_SEE_ROUNDS = "a schedule with rounds makes several, such as schedule=growing_rounds"


def main_tables(material: Material) -> Section:
    """The table of every block, and what its numbers mean."""
    if not material.table.blocks:
        return Section("results", "Results", [Gap("No cell is complete yet, so there is no result.")])
    parts = [
        part for number, block in enumerate(material.table.blocks, 1) for part in _main_parts(material, number, block)
    ]
    return Section("results", "Results", [*parts, bounded(notes_for(material.table, ("all",)))])


def _main_parts(material: Material, number: int, block: Block) -> list[Part]:
    title, ids = block_title(block), material.table.short_ids
    shown = [row.name for row in block.rows]
    targets = {
        name: records_anchor(number, place)
        for place, (name, row) in enumerate(zip(shown, block.rows, strict=True), 1)
        if row.record_ids
    }
    deciding = TextTable(title, headings(block, DECIDING), shown_rows(block, ids, DECIDING))
    every = TextTable("", headings(block), shown_rows(block, ids))
    return [Grid(deciding, targets=targets), Folded(f"{title}: all columns", [Grid(every)])]


def tests(material: Material) -> Section:
    """Every method against the baseline, seed by seed."""
    parts: list[Part] = []
    notes: dict[str, None] = {}
    for block in material.compared:
        if block.baseline is None:
            parts.append(Gap(f"{block.title}: {material.baseline} was not run here, so nothing is compared."))
        elif not block.found:
            parts.append(Gap(f"{block.title}: {block.baseline} is the only method, so there is nothing to compare."))
        else:
            found = {f"{block.title}: against {block.baseline}": block.found}
            parts += [Grid(table) for table in comparison_tables(found)]
            notes |= dict.fromkeys(comparison_notes(found, block.baseline))
    if not parts:
        parts = [Gap("No finished cell has rounds with a validation result, so nothing is compared seed by seed.")]
    return Section("tests", "Differences to a baseline", [*parts, *([bounded(list(notes))] if notes else [])])


def frontier(material: Material) -> Section:
    """What each block's results cost in tokens of the teacher."""
    frames = frontier_frames(material.records, Cost.TOKENS, material.outcomes) if material.records.complete else []
    drawn = [(title, rows) for title, rows in frames if (rows["role"] == FRONTIER).any()]
    if not drawn:
        return Section("frontier", "Accuracy against tokens", [Gap("No row has both a result and a cost.")])
    parts: list[Part] = [
        Paragraph(
            "Each mark is a row of the results; bars are the intervals of the tables, dotted lines are references. The "
            "line joins the rows that no other row beats: none is both as cheap and as good."
        )
    ]
    parts += [part for title, rows in drawn[:MOST_PICTURES] for part in _frontier_parts(title, rows)]
    return Section("frontier", "Accuracy against tokens", [*parts, *_undrawn([title for title, _ in drawn])])


def _frontier_parts(title: str, rows: pd.DataFrame) -> list[Part]:
    said = f"{title}: {rows['metric'].iloc[0]} over the tokens that were charged to the teacher"
    names = listed(list(rows.loc[rows["role"] == FRONTIER, "method"]), most=8, separator="; ")
    drawn = picture(said, partial(draw_frontier, rows, title, Cost.TOKENS))
    return [Drawing(drawn), Notes([f"Not beaten by a row that is as cheap: {names}."])]


def _undrawn(titles: Sequence[str]) -> Iterator[Gap]:
    if len(titles) > MOST_PICTURES:
        others = listed(titles[MOST_PICTURES:], separator="; ")
        yield Gap(f"The first {MOST_PICTURES} blocks are drawn, to keep the page small; not drawn: {others}.")


def learning_curves(material: Material) -> Section:
    """Validation results after each round, where there are several."""
    several = material.several_rounds
    if not several:
        gap = Gap(f"No finished cell has more than one round, so there is no curve; {HOW_TO_SEE_ROUNDS}.")
        return Section("curves", "Learning curves", [gap])
    parts: list[Part] = [
        Drawing(picture(f"{block.title}: validation after each round", partial(draw_curves, block.curves)))
        for block in several[:MOST_PICTURES]
    ]
    parts += _undrawn([block.title for block in several])
    curves = [block.curves for block in several]
    parts += [Grid(table) for table in curve_tables(curves)]
    return Section("curves", "Learning curves", [*parts, bounded(curve_notes(curves))])


def explanations(material: Material) -> Section:
    """What can be measured of explanations, where students wrote some."""
    found = material.explanations
    parts: list[Part] = [Grid(table) for table in explanation_tables(found.frame)]
    if parts:
        parts.append(Notes(explanation_notes(found)))
    else:
        parts.append(Gap(f"No explanation could be read: {HOW_TO_EXPLAIN}."))
    parts += [Gap(f"{problem}: left out.") for problem in found.problems]
    return Section("explanations", "Explanations", parts)
