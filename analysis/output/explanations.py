"""Measures of explanations per method, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.output.notes import title_of
from analysis.output.render import markdown_table
from analysis.records.explained import HOW_TO_EXPLAIN, explained_rows
from analysis.records.load import Records, ResultsError, places
from analysis.statistics.explanation_measures import MEASURES, Measure, measured
from analysis.statistics.grouping import blocks_of, named_groups
from analysis.statistics.intervals import mean_with_t_interval

KEYS = ("block", "dataset", "student", "teacher", "method", "seed", "cell_id", "questions")
NOTES = (
    "Means over seeds; ± is a 95 % t-interval. No column says that an explanation is good: docs/evaluation.md says "
    "what each one counts, from which source, and which way is better.",
    "Faithfulness (early answers to swaps) is there with evaluation.faithfulness_questions.",
)
NOTE_OF_LAS = (
    "LAS: leakage-adjusted simulatability by a linear simulator on words. Where nothing can be guessed it is a little "
    "above 0; compare methods on the same questions, not with numbers of other simulators."
)


def explanation_frame(records: Records, simulate: bool) -> tuple[pd.DataFrame, list[str]]:
    """(one row per cell that explained, with `KEYS` and a column per measure that any cell has; cells that did not).

    Raises ResultsError if no cell explained anything.
    """
    of_cell = _measured_cells(records, simulate)
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
    if not rows:
        raise ResultsError(f"no cell in {places(records)} has explanations: {HOW_TO_EXPLAIN}")
    frame = pd.DataFrame(rows)
    known = [measure.name for measure in MEASURES if measure.name in frame.columns]
    return frame[[*KEYS, *known]], list(silent)


def _measured_cells(records: Records, simulate: bool) -> dict[str, tuple[int, dict[str, float]]]:
    """Id of a cell that explained -> (explained questions, its measures): once, in however many blocks it is shown."""
    found = {}
    for cell in records.complete:
        rows = explained_rows(cell.folder)
        if rows is not None:
            found[cell.names.cell_id] = (len(rows), measured(cell, rows, simulate))
    return found


def explanation_table(frame: pd.DataFrame, silent: Sequence[str]) -> str:
    """Markdown: a table per block, then notes."""
    measures = [measure for measure in MEASURES if measure.name in frame.columns]
    parts = []
    for block, of_block in frame.groupby("block", sort=False):
        shown = [measure for measure in measures if of_block[measure.name].notna().any()]
        columns = ("method", "seeds", "questions", *(measure.title for measure in shown))
        rows = [
            [str(method), str(len(of_method)), _counts(of_method["questions"]), *(_shown(of_method, m) for m in shown)]
            for method, of_method in of_block.groupby("method", sort=False)
        ]
        parts.append(f"### {block}\n\n{markdown_table(columns, rows)}")
    notes = [*NOTES, *([NOTE_OF_LAS] if "simulatability" in frame.columns else [])]
    notes += [f"Without explanations, {HOW_TO_EXPLAIN}: {'; '.join(silent)}."] if silent else []
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


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
