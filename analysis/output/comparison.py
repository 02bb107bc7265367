"""Comparisons with a baseline as text: markdown to read, rows of numbers for csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.output.text_table import TextTable, with_notes
from analysis.statistics.compare import Comparison
from analysis.statistics.curves import Curves
from analysis.statistics.intervals import MeanInterval
from analysis.statistics.scores import SEEDS, ScoreInterval
from analysis.statistics.wilcoxon import cannot_reach

MIN_PAIRS = 3
COLUMNS = (
    *("method", "test, points", "p (Holm)", "Hedges' g", "equal questions, points", "equal tokens, points"),
    "pairs",
)
FRAME_COLUMNS = (
    *("dataset", "student", "teacher", "baseline", "method", "at", "mean", "low", "high", "over", "p_holm"),
    *("hedges_g", "pairs"),
)
NOTES = (
    "Differences to {baseline} on the same seeds, in points; ± is a 95 % interval of each one alone, and * marks one "
    "that leaves out 0. Of the test it is for new seeds and questions (docs/statistics.md), of curves for new seeds.",
    "p: Wilcoxon's signed-rank test over seeds, corrected by Holm for all methods of the block. Hedges' g of the "
    "paired differences (0.2 is small, 0.8 large), from three seeds on.",
    "Equal questions and tokens: how far the validation curve lies above the baseline's on average, where both are "
    "known; over tokens on a logarithmic axis.",
)
SEEDS_NOTE = "Of {methods}, the test's ± is for new seeds alone: predictions are missing, or the questions differ."


def comparison_table(found: Mapping[str, Sequence[Comparison]], baseline: str) -> str:
    """Markdown: one table per block (title -> comparisons), then notes."""
    return with_notes((table.markdown() for table in comparison_tables(found)), comparison_notes(found, baseline))


def comparison_tables(found: Mapping[str, Sequence[Comparison]]) -> list[TextTable]:
    """One table per block, with a row per compared method."""
    return [TextTable(title, COLUMNS, [_row(each) for each in rows]) for title, rows in found.items()]


def comparison_notes(found: Mapping[str, Sequence[Comparison]], baseline: str) -> list[str]:
    """What the tables' numbers mean, and what stands against them."""
    notes = [note.format(baseline=baseline) for note in NOTES]
    alone = [each.method for rows in found.values() for each in rows if each.final and each.final.over == SEEDS]
    notes += [SEEDS_NOTE.format(methods=", ".join(dict.fromkeys(alone)))] if alone else []
    notes += [note for rows in found.values() for each in rows if (note := _unequal_budgets(each, baseline))]
    notes += dict.fromkeys(note for rows in found.values() for note in _too_few_seeds(rows))
    if any(each.fewest_pairs < MIN_PAIRS for rows in found.values() for each in rows):
        notes.append(f"Fewer than {MIN_PAIRS} pairs are too few to tell methods apart.")
    return notes


def comparison_frame(
    blocks: Sequence[Curves], found: Mapping[str, Sequence[Comparison]], baseline: str
) -> pd.DataFrame:
    """One row per block, method and kind of comparison, with mean, low and high as shares.

    `over`, `p_holm` and `hedges_g` are known for the test alone, which is `end` in the column `at`.
    """
    rows = [
        {
            "dataset": block.dataset, "student": block.student, "teacher": block.teacher, "baseline": baseline,
            "method": each.method, **row,
        }
        for block in blocks
        for each in found[block.title]
        for row in _frame_rows(each)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=FRAME_COLUMNS)


def _frame_rows(one: Comparison) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    if one.final is not None:
        ends = {"mean": one.final.mean, "low": one.final.low, "high": one.final.high, "over": one.final.over}
        tests = {"p_holm": one.p, "hedges_g": one.effect_size}
        rows.append({"at": "end", **ends, **tests, "pairs": one.final.num_seeds})
    curves = {"equal questions": one.at_equal_questions, "equal tokens": one.at_equal_tokens}
    for at, interval in curves.items():
        if interval is not None:
            ends = {"mean": interval.mean, "low": interval.low, "high": interval.high, "over": SEEDS}
            rows.append({"at": at, **ends, "pairs": interval.num_values})
    return rows


def _too_few_seeds(rows: Sequence[Comparison]) -> list[str]:
    """A warning where the seeds cannot make any comparison of the block significant."""
    seeds = [each.final.num_seeds for each in rows if each.final is not None]
    warning = cannot_reach(max(seeds), len(seeds)) if seeds else None
    return [warning] if warning else []


def _unequal_budgets(one: Comparison, baseline: str) -> str | None:
    if one.questions == one.baseline_questions:
        return None
    return (
        f"{one.method} bought {one.questions:,.0f} questions where {baseline} bought {one.baseline_questions:,.0f}: "
        "their test results are not at an equal budget."
    )


def _row(one: Comparison) -> list[str]:
    return [
        one.method,
        _shown(one.final),
        "-" if one.p is None else f"{one.p:.3f}",
        "-" if one.effect_size is None else f"{one.effect_size:+.1f}",
        _shown(one.at_equal_questions),
        _shown(one.at_equal_tokens),
        str(one.fewest_pairs),
    ]


def _shown(interval: ScoreInterval | MeanInterval | None) -> str:
    if interval is None:
        return "-"
    if interval.half_width is None:
        return f"{100 * interval.mean:+.1f}"
    sure = "*" if abs(interval.mean) > interval.half_width else ""
    return f"{100 * interval.mean:+.1f} ± {100 * interval.half_width:.1f}{sure}"
