"""Learning curves as a table: per method and round the means over seeds, and what a revision kept."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.output.text_table import TextTable, with_notes
from analysis.statistics.curves import Curves, methods_of, unread_notes
from analysis.statistics.intervals import mean_with_t_interval

COLUMNS = ("method", "round", "questions", "calls", "tokens", "USD", "validation %", "seeds")
OF_REVISIONS = ("flawed %", "steps kept %", "first flaw")


def curve_table(curves: Sequence[Curves]) -> str:
    """Markdown: one table per block, then notes."""
    return with_notes((table.markdown() for table in curve_tables(curves)), curve_notes(curves))


def curve_tables(curves: Sequence[Curves]) -> list[TextTable]:
    """One table per block, with a row per method and round."""
    return [_table(each) for each in curves]


def curve_notes(curves: Sequence[Curves]) -> list[str]:
    """What the tables' numbers mean, and the rounds whose selection read too little."""
    notes = [note for each in curves for note in unread_notes(each.title, each.cells)]
    explained = (
        "Costs are charged from the cell's start on; ± is a 95 % t-interval over seeds. Validation, not test.",
        *(["`first flaw`: how many steps stand before it, where there is one."] if _revises(curves) else []),
    )
    return [*explained, *dict.fromkeys(notes)]


def all_rows(curves: Sequence[Curves]) -> pd.DataFrame:
    """One row per cell and round of all blocks."""
    return pd.concat([each.frame for each in curves], ignore_index=True)


def _revises(curves: Sequence[Curves]) -> bool:
    return any("note_checked" in each.frame for each in curves)


def _table(curves: Curves) -> TextTable:
    revises = "note_checked" in curves.frame
    by_method = {str(method): of_method for method, of_method in curves.frame.groupby("method", sort=False)}
    rows = [
        [str(of_round["method"].iloc[0]), str(of_round["round"].iloc[0] + 1), *_means(of_round)]
        + (_of_revision(of_round) if revises else [])
        for method in methods_of(curves)
        for _, of_round in by_method[method].groupby("round", sort=True)
    ]
    return TextTable(curves.title, (*COLUMNS, *(OF_REVISIONS if revises else ())), rows)


def _means(rows: pd.DataFrame) -> list[str]:
    interval = mean_with_t_interval([float(value) for value in rows["value"]])
    width = "" if interval.half_width is None else f" ± {100 * interval.half_width:.1f}"
    usd = rows["usd"].astype(float).mean(skipna=False)
    return [
        *(f"{rows[name].mean():,.0f}" for name in ("questions", "calls", "tokens")),
        "unknown" if usd != usd else f"{usd:.3f}",
        f"{100 * interval.mean:.1f}{width}",
        str(interval.num_values),
    ]


def _of_revision(rows: pd.DataFrame) -> list[str]:
    """The share of explanations with a flaw, that of the student's steps that were kept, and the first flaw's place."""
    sums = {name: rows.get(f"note_{name}", pd.Series(dtype=float)).sum() for name in NOTES}
    return [
        f"{100 * sums['flawed'] / sums['checked']:.0f}" if sums["checked"] else "-",
        f"{100 * sums['survived'] / sums['written']:.0f}" if sums["written"] else "-",
        f"{sums['flaw_index_sum'] / sums['flawed']:.1f}" if sums["flawed"] else "-",
    ]


NOTES = ("checked", "flawed", "written", "survived", "flaw_index_sum")
