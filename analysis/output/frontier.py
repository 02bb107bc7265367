"""Results against costs as a table: per block each method, what it reaches, what it costs, and what dominates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.output.plots.frontier import COSTS, FRONTIER, REFERENCE, UNKNOWN, Cost
from analysis.output.render import markdown_table

COLUMNS = ("method", "METRIC %", "COST", "dominated by")
NO_METHOD = {FRONTIER: "nothing", REFERENCE: "(reference)", UNKNOWN: "unknown"}
"""Role -> what stands in the place of a dominating method."""


def frontier_table(frames: Sequence[tuple[str, pd.DataFrame]], cost: Cost) -> str:
    """Markdown: one table per block (title, rows of `frontier_frames`), the cheapest method first; then notes."""
    parts = [f"**{title}**\n\n{_table(rows, cost)}" for title, rows in frames]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in _notes(cost))]) + "\n"


def all_rows(frames: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """The rows of all blocks."""
    return pd.concat([rows for _, rows in frames], ignore_index=True)


def _table(rows: pd.DataFrame, cost: Cost) -> str:
    head = [name.replace("METRIC", rows["metric"].iloc[0]).replace("COST", cost.value) for name in COLUMNS]
    ordered = rows.sort_values(["cost_mean", "mean"], ascending=[True, False], kind="stable", na_position="last")
    return markdown_table(head, [_row(row) for _, row in ordered.iterrows()])


def _row(row: pd.Series[Any]) -> list[str]:
    return [row["method"], _result(row), _cost(row), NO_METHOD.get(row["role"]) or str(row["dominated_by"])]


def _result(row: pd.Series[Any]) -> str:
    half_width = "" if pd.isna(row["high"]) else f" ± {100 * (row['high'] - row['mean']):.1f}"
    return f"{100 * row['mean']:.1f}{half_width}"


def _cost(row: pd.Series[Any]) -> str:
    mean, high = row["cost_mean"], row["cost_high"]
    if pd.isna(mean):
        return "unknown"
    digits = ",.0f" if mean >= 100 or mean == 0 else ".2f" if mean >= 1 else ".2g"
    half_width = "" if pd.isna(high) else f" ± {high - mean:{digits}}"
    return f"{'~' if row['cost_estimated'] and mean else ''}{mean:{digits}}{half_width}"


def _notes(cost: Cost) -> list[str]:
    by_people = " and methods that people labelled questions for" if COSTS[cost].leaves_out_people else ""
    return [
        f"{cost.value}: {COSTS[cost].label}, mean per cell; ~ marks an estimate.",
        "± is half of a 95 % interval: of results for new seeds and questions where predictions are there, of costs "
        "for new seeds.",
        "dominated by: the best method that costs no more and reaches no less, by the means alone.",
        f"(reference): the untrained student{by_people}, compared with nothing.",
    ]
