"""How far each method lies above or below a baseline, seed by seed, as rows and as a forest plot."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    GREY,
    SMALL_POINTS,
    Look,
    looks,
    new_figure,
    over_seeds,
    put_rows,
    put_title,
    rows_inches,
    shared_line,
    short_names,
    signed,
    styled,
)
from analysis.records.load import Records, ResultsError, places
from analysis.statistics.compare import blocks_with, comparisons
from analysis.statistics.curves import Curves, known_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNEQUAL = " †"
DIFFERENCES = "Mean differences on the same seeds and 95 % intervals, as `compare` has them,"


def forest_frame(block: Curves, baseline: str) -> pd.DataFrame:
    """One row per other method that shares a seed with the baseline, in natural order.

    The columns: `dataset`, `student`, `teacher`, `metric`, `baseline`, `method`, `mean`, `low`, `high` (the difference
    of the test results, as a share, and its 95 % interval, as `compare` has it), `pairs` (the shared seeds),
    `questions` and `baseline_questions` (what each bought, mean over seeds).
    """
    shared = {"dataset": block.dataset, "student": block.student, "teacher": block.teacher, "metric": block.metric}
    rows = [
        {
            **shared,
            "baseline": baseline,
            "method": each.method,
            "mean": each.final.mean,
            "low": each.final.low,
            "high": each.final.high,
            "pairs": each.final.num_seeds,
            "questions": each.questions,
            "baseline_questions": each.baseline_questions,
        }
        for each in comparisons(block, baseline)
        if each.final is not None
    ]
    return pd.DataFrame(rows)


def forest_drawing(records: Records, baseline: str) -> Drawing:
    """One picture per block with the baseline and another method.

    Raises ResultsError where there is none, and NoBaselineError for a baseline that was run nowhere.
    """
    known = known_curves(records)
    chosen = blocks_with(known, baseline)
    frames = [(block, forest_frame(block, baseline)) for block in chosen]
    drawn = [(block, frame) for block, frame in frames if not frame.empty]
    if not drawn:
        raise ResultsError(f"{places(records)} holds no other method with a seed of {baseline}: run one more method")
    notes = [f"{block.title}: not drawn, {baseline} was not run there" for block in known if block not in chosen]
    notes += [f"{block.title}: not drawn, no method shares a seed with {baseline}" for block, f in frames if f.empty]
    return Drawing([Picture(frame, partial(draw_forest, frame, block.title)) for block, frame in drawn], notes)


@styled()
def draw_forest(frame: pd.DataFrame, title: str) -> Figure:
    """The picture of one block: a row per method, a line at 0, and the numbers at the right."""
    shared, (baseline, *names) = short_names([frame["baseline"].iloc[0], *frame["method"]])
    unequal = frame["questions"] != frame["baseline_questions"]
    labels = [f"{name}{UNEQUAL if other else ''}" for name, other in zip(names, unequal, strict=True)]
    figure = new_figure(rows_inches(labels) + 0.5)
    axis = figure.subplots()
    axis.axvline(0, color=GREY, linewidth=1.2)
    of_method = looks([frame["baseline"].iloc[0], *frame["method"]])
    for place, (_, row) in enumerate(frame.iterrows()):
        _row(axis, place, row, of_method[row["method"]])
    put_rows(axis, labels)
    metric = frame["metric"].iloc[0]
    axis.set_xlabel(f"difference in test {metric}, points; right of 0 is better than the baseline")
    note = f"\n{UNEQUAL.strip()} = bought another number of questions than the baseline" if unequal.any() else ""
    put_title(
        figure,
        f"Difference to {baseline} in test {metric}\n{title}\n{over_seeds(list(frame['pairs']), DIFFERENCES)}"
        f"{note}{shared_line(shared)}",
    )
    return figure


def _row(axis: Any, place: int, row: pd.Series[Any], look: Look) -> None:
    half = None if pd.isna(row["high"]) else 100 * (row["high"] - row["mean"])
    axis.errorbar(100 * row["mean"], place, xerr=half, fmt=look.marker, color=look.colour, capsize=3)
    shown = signed(100 * row["mean"]) + ("" if half is None else f" ± {half:.1f}")
    axis.annotate(shown, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL_POINTS)
