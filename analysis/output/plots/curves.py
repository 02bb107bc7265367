"""Learning curves as a picture: the result against questions and against tokens, after every round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    Look,
    key,
    looks,
    new_figure,
    over_seeds,
    put_band,
    put_costs,
    put_legend,
    put_title,
    shared_line,
    short_names,
    styled,
)
from analysis.statistics.curves import Curves, methods_of
from analysis.statistics.intervals import mean_with_t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = {"questions": "annotated questions", "tokens": "teacher tokens"}
HEIGHT_INCHES = 3.0


def curves_drawing(curves: Sequence[Curves]) -> Drawing:
    """One picture per block."""
    return Drawing([Picture(block.frame, partial(draw_curves, block)) for block in curves])


@styled()
def draw_curves(curves: Curves) -> Figure:
    """The picture of one block: two panels, a line with a band per method."""
    methods = methods_of(curves)
    shared, names = short_names(methods)
    of_method = looks(methods)
    figure = new_figure(HEIGHT_INCHES)
    axes = figure.subplots(1, len(COSTS), sharey=True)
    for axis, (cost, label) in zip(axes, COSTS.items(), strict=True):
        for method, look in of_method.items():
            _line(axis, curves, method, cost, look)
        put_costs(axis, list(curves.frame.groupby(["method", "round"])[cost].mean()))
        axis.set_xlabel(f"{label}, mean over seeds")
    axes[0].set_ylabel(f"validation {curves.metric}, %")
    put_legend(figure, [key(look, line=True) for look in of_method.values()], names)
    seeds = curves.frame.groupby("method")["seed"].nunique()
    put_title(
        figure,
        f"Validation {curves.metric} after every round; up and to the left is better\n"
        f"{curves.title}\n{over_seeds(list(seeds))}{shared_line(shared)}",
    )
    return figure


def _line(axis: Any, curves: Curves, method: str, cost: str, look: Look) -> None:
    rows = curves.frame[curves.frame["method"] == method]
    rounds = [of_round for _, of_round in rows.groupby("round")]
    intervals = [mean_with_t_interval([float(v) for v in of_round["value"]]) for of_round in rounds]
    x = [float(of_round[cost].mean()) for of_round in rounds]
    axis.plot(x, [100 * interval.mean for interval in intervals], color=look.colour, marker=look.marker)
    if all(interval.half_width is not None for interval in intervals):
        low = [100 * max(interval.low or 0.0, 0.0) for interval in intervals]
        high = [100 * min(interval.high or 0.0, 1.0) for interval in intervals]
        put_band(axis, x, low, high, look, len(methods_of(curves)))
