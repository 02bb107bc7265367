"""Measures of explanations per method, with intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.output.notes import title_of
from analysis.output.text_table import TextTable, with_notes
from analysis.records.explained import EXPLANATIONS, HOW_TO_EXPLAIN, explanations_in
from analysis.records.frames import TableError
from analysis.records.load import Problem, Records
from analysis.statistics.explanation_measures import MEASURES, Measure, measured
from analysis.statistics.grouping import blocks_of, named_groups
from analysis.statistics.intervals import mean_with_t_interval

KEYS = ("block", "dataset", "student", "teacher", "method", "seed", "cell_id", "questions")
NOTES = (
    "Means over seeds; ± is a 95 % t-interval. No column says that an explanation is good: docs/evaluation.md says "
    "what each one counts, from which source, and which way is better.",
    "Faithfulness (early answers to swaps) is there with evaluation.faithfulness_questions.",
)
MOST_SILENT = 20
"""A note names so many cells without explanations."""
NOTE_OF_LAS = (
    "LAS: leakage-adjusted simulatability by a linear simulator on words. Where nothing can be guessed it is a little "
    "above 0; compare methods on the same questions, not with numbers of other simulators."
)


@dataclass(frozen=True)
class MeasuredExplanations:
    """What was measured of the explanations of all cells."""

    frame: pd.DataFrame
    """One row per block and cell that explained, with `KEYS` and a column per measure that any cell has."""
    silent: tuple[str, ...]
    """The cells that explained nothing that can be read, by name."""
    problems: tuple[Problem, ...]
    """The files that were skipped."""


def measured_explanations(records: Records, simulate: bool) -> MeasuredExplanations:
    """The measures of all finished cells; `simulate` adds simulatability, which takes seconds per cell."""
    of_cell, problems = _measured_cells(records, simulate)
    rows, silent = [], dict[str, None]()
    for key, scores in blocks_of(records.complete).items():
        if key.test_dataset != key.dataset:
            continue
        for name, group in named_groups(scores):
            for who in (score.cell.names for score in group.scores):
                if who.cell_id not in of_cell:
                    silent[f"{name}, seed {who.seed} ({who.cell_id[:8]})"] = None
                    continue
                questions, values = of_cell[who.cell_id]
                shared = (title_of(key), key.dataset, key.student, key.teacher, name, who.seed, who.cell_id, questions)
                rows.append(dict(zip(KEYS, shared, strict=True)) | values)
    frame = pd.DataFrame(rows, columns=None if rows else list(KEYS))
    known = [measure.name for measure in MEASURES if measure.name in frame.columns]
    return MeasuredExplanations(frame[[*KEYS, *known]], tuple(silent), tuple(problems))


def _measured_cells(records: Records, simulate: bool) -> tuple[dict[str, tuple[int, dict[str, float]]], list[Problem]]:
    """(id of a cell that explained -> (explained questions, its measures), the files that cannot be used)."""
    found, problems = {}, []
    for cell in records.complete:
        path = cell.folder / EXPLANATIONS
        if not path.is_file():
            continue
        try:
            rows = explanations_in(path)
        except TableError as error:
            problems.append(Problem(path, str(error)))
            continue
        found[cell.names.cell_id] = (len(rows), measured(cell, rows, simulate))
    return found, problems


def explanation_table(found: MeasuredExplanations) -> str:
    """Markdown: a table per block, then notes."""
    return with_notes((table.markdown("### {}") for table in explanation_tables(found.frame)), explanation_notes(found))


def explanation_tables(frame: pd.DataFrame) -> list[TextTable]:
    """One table per block, with a row per method and the measures that the block knows."""
    measures = [measure for measure in MEASURES if measure.name in frame.columns]
    tables = []
    for block, of_block in frame.groupby("block", sort=False):
        shown = [measure for measure in measures if of_block[measure.name].notna().any()]
        columns = ("method", "seeds", "questions", *(measure.title for measure in shown))
        rows = [
            [str(method), str(len(of_method)), _counts(of_method["questions"]), *(_shown(of_method, m) for m in shown)]
            for method, of_method in of_block.groupby("method", sort=False)
        ]
        tables.append(TextTable(str(block), columns, rows))
    return tables


def explanation_notes(found: MeasuredExplanations) -> list[str]:
    """What the tables' numbers mean, and the cells that explained nothing."""
    notes = [*NOTES, *([NOTE_OF_LAS] if "simulatability" in found.frame.columns else [])]
    if found.silent:
        more = len(found.silent) - MOST_SILENT
        named = "; ".join(found.silent[:MOST_SILENT]) + (f"; and {more} more" if more > 0 else "")
        notes.append(f"Without explanations, {HOW_TO_EXPLAIN}: {named}.")
    return notes


def _shown(of_method: pd.DataFrame, measure: Measure) -> str:
    values = [float(value) for value in of_method[measure.name].dropna()]
    if not values:
        return "-"
    factor = 100 if measure.is_share else 1
    interval = mean_with_t_interval([factor * value for value in values])
    width = "" if interval.half_width is None else f" ± {interval.half_width:.1f}"
    return f"{interval.mean:.1f}{width}"


def _counts(counts: pd.Series) -> str:
    found = sorted(set(counts))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
