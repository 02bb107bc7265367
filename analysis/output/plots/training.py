"""Training curves of all rounds: the loss, its terms and the validation result by optimiser step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.output.plots.blocks import MethodBlock, trained_blocks
from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    Look,
    amount,
    key,
    looks,
    new_figure,
    over_seeds,
    put_band,
    put_legend,
    put_title,
    shared_line,
    short_names,
    styled,
)
from analysis.records.load import FinishedCell, Problem, Records, ResultsError, places
from analysis.statistics.intervals import mean_with_t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "log/metrics.csv"
WHAT_IS_LACKING = "is not there, so that its training cannot be drawn; run the cell again"
LOSS, LEFT_OUT = "train/loss", "train/learning_rate"
PLACE = ["method", "round", "step"]
PANEL_INCHES = 1.9
WIDE_RANGE = 20
"""An axis of losses is logarithmic where the largest mean is this many times the smallest, or more."""


def logged(cells: Sequence[FinishedCell]) -> tuple[pd.DataFrame, list[Problem]]:
    """(every logged loss, term and validation result, files that could not be read).

    The columns of the frame: `cell_id`, `round` (from 0), `step` (over all rounds), `quantity` (`train/loss`,
    `train/TERM` or `validation/METRIC`) and `value`.
    """
    frames, problems = [], []
    for cell in cells:
        path = cell.folder / FILE
        try:
            frames.append(_quantities(pd.read_csv(path)).assign(cell_id=cell.names.cell_id))
        except FileNotFoundError:
            problems.append(Problem(path, WHAT_IS_LACKING))
        except (OSError, ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
            reason = " ".join(str(error).split())
            problems.append(Problem(path, f"cannot be read ({reason}); move the cell's folder away and run it again"))
    return (pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()), problems


def _quantities(rows: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in map(str, rows.columns) if name.startswith(("train/", "validation/")) and name != LEFT_OUT]
    long = rows[["round", "step", *names]].melt(["round", "step"], var_name="quantity").dropna()
    return long.astype({"round": int, "step": int, "value": float})


def training_frame(block: MethodBlock, log: pd.DataFrame) -> pd.DataFrame:
    """One row per method, quantity, round and step: the mean over seeds with its 95 % t-interval.

    The columns: `dataset`, `student`, `teacher`, `method`, `quantity`, `round`, `step`, `mean`, `low`, `high`, `seeds`
    (cells that logged the step) and `of_seeds` (all cells of the method that logged something).
    """
    rows = []
    for name, group in block.methods.items():
        ids = {score.cell.names.cell_id for score in group.scores}
        of_method = log[log["cell_id"].isin(ids)]
        known = of_method["cell_id"].nunique()
        for (quantity, number, step), same in of_method.groupby(["quantity", "round", "step"], sort=True):
            interval = mean_with_t_interval(list(same["value"]))
            rows.append(
                {
                    **block.columns, "method": name, "quantity": quantity, "round": number, "step": step,
                    "mean": interval.mean, "low": interval.low, "high": interval.high,
                    "seeds": interval.num_values, "of_seeds": known,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def training_drawing(records: Records) -> Drawing:
    """One picture per block. Raises ResultsError where no cell has a log."""
    pictures, notes, problems = [], [], []
    for block in trained_blocks(records):
        log, unread = logged([score.cell for group in block.methods.values() for score in group.scores])
        problems += unread
        if log.empty:
            notes.append(f"{block.title}: not drawn, no cell has a log of its training")
            continue
        frame = training_frame(block, log)
        pictures.append(Picture(frame, partial(draw_training, frame, block.title)))
    if not pictures:
        raise ResultsError("; ".join(dict.fromkeys([*map(str, problems), *notes])) + f" (in {places(records)})")
    return Drawing(pictures, notes, list(dict.fromkeys(problems)))


@styled()
def draw_training(frame: pd.DataFrame, title: str) -> Figure:
    """The picture of one block: a panel per quantity, a line per method, rounds apart from each other."""
    methods = list(dict.fromkeys(frame["method"]))
    shared, names = short_names(methods)
    of_method = looks(methods)
    quantities = drawn_quantities(frame)
    rows = -(-len(quantities) // 2)
    figure = new_figure(rows * PANEL_INCHES + 0.3)
    axes = list(figure.subplots(rows, min(2, len(quantities)), sharex=True, squeeze=False).flat)
    for axis, quantity in zip(axes, quantities, strict=False):
        _panel(axis, quantity, frame[frame["quantity"] == quantity], of_method)
    for axis in axes[len(quantities) :]:
        axis.set_axis_off()
    for axis in axes[max(0, len(quantities) - 2) : len(quantities)]:
        axis.set_xlabel("optimiser steps, all rounds")
        axis.tick_params(labelbottom=True)
    put_legend(figure, [key(look, line=True) for look in of_method.values()], names)
    put_title(figure, f"{_heading(frame)}\n{title}{shared_line(shared)}")
    return figure


def drawn_quantities(frame: pd.DataFrame) -> list[str]:
    """The loss first, then terms and validation results; a term that is the loss in every method is left out."""
    loss = frame[frame["quantity"] == LOSS].set_index(PLACE)["mean"]
    others = sorted(set(frame["quantity"]) - {LOSS})
    means = {name: frame[frame["quantity"] == name].set_index(PLACE)["mean"] for name in others}
    return [LOSS, *(name for name in others if not means[name].equals(loss.reindex(means[name].index)))]


def _heading(frame: pd.DataFrame) -> str:
    several = "\nThin vertical lines: a round begins" if frame["round"].max() > 0 else ""
    fewer = "; dotted: fewer seeds came so far" if (frame["seeds"] < frame["of_seeds"]).any() else ""
    return f"Training over all rounds\n{over_seeds(list(frame.groupby('method')['of_seeds'].first()))}{several}{fewer}"


def _panel(axis: Any, quantity: str, rows: pd.DataFrame, of_method: dict[str, Look]) -> None:
    from matplotlib import ticker

    in_percent = quantity.startswith("validation/")
    axis.set_title(f"{quantity}, %; higher is better" if in_percent else f"{quantity}; lower is better")
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(amount))
    for method, look in of_method.items():
        own = rows[rows["method"] == method].sort_values("step")
        if in_percent:
            shares = {end: (100 * own[end]).clip(0, 100) for end in ("mean", "low", "high")}
            _line(axis, own.assign(**shares), look, len(of_method))
            continue
        for _, of_round in own.groupby("round"):
            _line(axis, of_round, look, len(of_method))
        for start in sorted(own.groupby("round")["step"].min())[1:]:
            axis.axvline(start, color=look.colour, linewidth=0.5, linestyle=(0, (2, 2)), zorder=1)
    low, high = rows["mean"].min(), rows["mean"].max()
    if not in_percent and low > 0 and high >= WIDE_RANGE * low:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(amount))
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_ylim(low / 1.5, 1.5 * high)


def _line(axis: Any, rows: pd.DataFrame, look: Look, num_lines: int) -> None:
    """One line with its band; dotted where not all seeds are behind it."""
    whole = rows[rows["seeds"] == rows["of_seeds"]]
    axis.plot(rows["step"], rows["mean"], color=look.colour, linestyle=(0, (1, 1)))
    axis.plot(whole["step"], whole["mean"], color=look.colour)
    marked = rows.iloc[:: max(1, len(rows) // 4)]
    axis.plot(marked["step"], marked["mean"], color=look.colour, linestyle="", marker=look.marker, markersize=4)
    known = rows.dropna(subset=["low", "high"])
    put_band(axis, list(known["step"]), list(known["low"]), list(known["high"]), look, num_lines)
