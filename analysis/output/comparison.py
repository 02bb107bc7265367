"""Comparisons with a baseline as text: markdown to read, rows of numbers for csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.output.text_table import TextTable, with_notes
from analysis.statistics.compare import Comparison
from analysis.statistics.curves import Curves
from analysis.statistics.intervals import MeanInterval

MIN_PAIRS = 3
COLUMNS = ("method", "test, points", "equal questions, points", "equal tokens, points", "pairs")
FRAME_COLUMNS = ("dataset", "student", "teacher", "baseline", "method", "at", "mean", "low", "high", "pairs")
NOTES = (
    "Differences to {baseline} on the same seeds, in points; ± is a 95 % paired t-interval over seeds, and * marks one "
    "that leaves out 0. Nothing is corrected for the number of comparisons.",
    "Equal questions and tokens: how far the validation curve lies above the baseline's on average, where both are "
    "known; over tokens on a logarithmic axis.",
)


def comparison_table(found: Mapping[str, Sequence[Comparison]], baseline: str) -> str:
    """Markdown: one table per block (title -> comparisons), then notes."""
    return with_notes((table.markdown() for table in comparison_tables(found)), comparison_notes(found, baseline))


def comparison_tables(found: Mapping[str, Sequence[Comparison]]) -> list[TextTable]:
    """One table per block, with a row per compared method."""
    return [TextTable(title, COLUMNS, [_row(each) for each in rows]) for title, rows in found.items()]


def comparison_notes(found: Mapping[str, Sequence[Comparison]], baseline: str) -> list[str]:
    """What the tables' numbers mean, and what stands against them."""
    notes = [note.format(baseline=baseline) for note in NOTES]
    notes += [note for rows in found.values() for each in rows if (note := _unequal_budgets(each, baseline))]
    if any(each.fewest_pairs < MIN_PAIRS for rows in found.values() for each in rows):
        notes.append(f"Fewer than {MIN_PAIRS} pairs are too few to tell methods apart.")
    return notes


def comparison_frame(
    blocks: Sequence[Curves], found: Mapping[str, Sequence[Comparison]], baseline: str
) -> pd.DataFrame:
    """One row per block, method and kind of comparison, with mean, low and high as shares."""
    rows = [
        {
            "dataset": block.dataset, "student": block.student, "teacher": block.teacher, "baseline": baseline,
            "method": each.method, "at": at, "mean": interval.mean, "low": interval.low, "high": interval.high,
            "pairs": interval.num_values,
        }
        for block in blocks
        for each in found[block.title]
        for at, interval in _kinds(each).items()
        if interval is not None
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=FRAME_COLUMNS)


def _kinds(one: Comparison) -> dict[str, MeanInterval | None]:
    return {"end": one.final, "equal questions": one.at_equal_questions, "equal tokens": one.at_equal_tokens}


def _unequal_budgets(one: Comparison, baseline: str) -> str | None:
    if one.questions == one.baseline_questions:
        return None
    return (
        f"{one.method} bought {one.questions:,.0f} questions where {baseline} bought {one.baseline_questions:,.0f}: "
        "their test results are not at an equal budget."
    )


def _row(one: Comparison) -> list[str]:
    return [one.method, *(_shown(interval) for interval in _kinds(one).values()), str(one.fewest_pairs)]


def _shown(interval: MeanInterval | None) -> str:
    if interval is None:
        return "-"
    if interval.half_width is None:
        return f"{100 * interval.mean:+.1f}"
    sure = "*" if abs(interval.mean) > interval.half_width else ""
    return f"{100 * interval.mean:+.1f} ± {100 * interval.half_width:.1f}{sure}"
