"""Whether a judge's confidence is worth what it says: reliability diagrams of the confidence behind weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.output.plots.blocks import MethodBlock, trained_blocks
from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    LIGHT_GREY,
    LINE_INCHES,
    SMALL_POINTS,
    TEXT_POINTS,
    WIDTH_INCHES,
    Look,
    looks,
    new_figure,
    put_title,
    seeds_text,
    shared_line,
    short_names,
    styled,
    wrapped,
)
from analysis.records.load import Records, ResultsError, places
from benchmark.records.schema import Calibration, CalibrationBin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
PANEL_INCHES = 2.0
BARS_SHARE = 0.2
"""How much of a panel's height the largest bar of counts takes."""


def reliability_frame(block: MethodBlock) -> pd.DataFrame:
    """One row per method and bin of confidence, for methods whose weights rest on a confidence; all seeds together.

    The columns: `dataset`, `student`, `teacher`, `method`, `low`, `high` (the bin), `n` (judgements), `mean_confidence`
    and `share_right` (missing in an empty bin), `ece` (of the method: the mean over its cells, as in the table) and
    `seeds`.
    """
    rows = [
        {**block.columns, "method": name, **row, "ece": ece, "seeds": len(judges)}
        for name, judges in _judges(block).items()
        if (ece := _mean_ece(judges)) is not None
        for row in _pooled(judges)
    ]
    return pd.DataFrame(rows)


def _judges(block: MethodBlock) -> dict[str, list[Calibration]]:
    """Method -> the calibrations of its cells, where they have bins."""
    found = {
        name: [score.cell.judge for score in group.scores if score.cell.judge is not None and score.cell.judge.bins]
        for name, group in block.methods.items()
    }
    return {name: judges for name, judges in found.items() if judges}


def _mean_ece(judges: Sequence[Calibration]) -> float | None:
    known = [judge.ece for judge in judges if judge.ece is not None]
    return sum(known) / len(known) if known else None


def _pooled(judges: Sequence[Calibration]) -> list[dict[str, float | int | None]]:
    """The bins of all cells put together: counts are added, means are weighted by counts."""
    return [_bin(same) for same in zip(*(judge.bins for judge in judges), strict=True)]


def _bin(same: Sequence[CalibrationBin]) -> dict[str, float | int | None]:
    count = sum(each.n for each in same)

    def mean(name: str) -> float | None:
        return sum(each.n * getattr(each, name) for each in same if each.n) / count if count else None

    return {
        "low": same[0].low,
        "high": same[0].high,
        "n": count,
        "mean_confidence": mean("mean_confidence"),
        "share_right": mean("share_right"),
    }


def reliability_drawing(records: Records) -> Drawing:
    """One picture per block, a panel per method. Raises ResultsError where no weight rests on a probability."""
    pictures, notes = [], []
    for block in trained_blocks(records):
        frame = reliability_frame(block)
        notes += _notes(block)
        if not frame.empty:
            pictures.append(Picture(frame, partial(draw_reliability, frame, block.title)))
    if not pictures:
        why = "; ".join(notes) or "run a method that judges what it buys, such as ta_in_the_loop"
        raise ResultsError(f"{places(records)} holds no cell whose weights rest on a probability: {why}")
    return Drawing(pictures, notes)


def _notes(block: MethodBlock) -> list[str]:
    drawn = _judges(block)
    unbinned = [
        name
        for name, group in block.methods.items()
        if name not in drawn and any(score.cell.judge is not None for score in group.scores)
    ]
    return [f"{block.title}: not drawn, the confidence of {name} is no probability" for name in unbinned]


@styled()
def draw_reliability(frame: pd.DataFrame, title: str) -> Figure:
    """The picture of one block: per method the share of right answers by confidence, and bars of the bins' counts."""
    methods = list(dict.fromkeys(frame["method"]))
    shared, names = short_names(methods)
    columns = min(COLUMNS, len(methods))
    rows = -(-len(methods) // columns)
    labels = [wrapped(name, (WIDTH_INCHES - 0.8) / columns - 0.2) for name in names]
    lines = max(label.count("\n") + 2 for label in labels)
    figure = new_figure(rows * (PANEL_INCHES + lines * LINE_INCHES) + 0.4)
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    of_method = looks(methods)
    for axis, method, label in zip(axes, methods, labels, strict=False):
        bins = frame[frame["method"] == method]
        numbers = f"ECE {bins['ece'].iloc[0]:.3f}; largest bar {bins['n'].max():,}"
        axis.set_title(f"{label}\n{numbers}", fontsize=SMALL_POINTS)
        _panel(axis, bins, of_method[method])
    for axis in axes[len(methods) :]:
        axis.set_axis_off()
    figure.supxlabel("confidence of the judge, mean per bin", fontsize=TEXT_POINTS)
    figure.supylabel("share of right answers", fontsize=TEXT_POINTS)
    put_title(figure, f"{_heading(frame)}\n{title}{shared_line(shared)}")
    return figure


def _heading(frame: pd.DataFrame) -> str:
    return (
        f"Confidence behind the weights against right answers, {seeds_text(set(frame['seeds']))} together\n"
        "On the diagonal is best; ECE: mean distance from it, lower is better; grey bars: judgements per bin"
    )


def _panel(axis: Any, rows: pd.DataFrame, look: Look) -> None:
    filled = rows[rows["n"] > 0]
    axis.bar(
        rows["low"], BARS_SHARE * rows["n"] / rows["n"].max(), rows["high"] - rows["low"],
        align="edge", color="0.85", edgecolor="white", linewidth=0.5,
    )  # fmt: skip
    axis.plot([0, 1], [0, 1], color=LIGHT_GREY, linewidth=1, linestyle=(0, (3, 2)))
    axis.plot(
        filled["mean_confidence"], filled["share_right"], color=look.colour, marker=look.marker, clip_on=False, zorder=3
    )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
