"""Learning curves as a picture: accuracy against questions and against tokens. Loads matplotlib and seaborn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.statistics.curves import Curves, methods_of
from analysis.statistics.intervals import mean_with_t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vP*Xhp<>"
FORMATS = (".png", ".pdf")
LEGEND_COLUMNS, LEGEND_CHARACTERS = 3, 150
PLOT_INCHES, ROW_INCHES = 4.8, 0.22


def plot_curves(curves: Curves, path: Path) -> list[Path]:
    """Writes the picture as png and as pdf, and its points as csv beside; returns their paths."""
    from matplotlib import pyplot

    figure = curve_figure(curves)
    stem = path.with_suffix("") if path.suffix in (*FORMATS, ".csv") else path  # another dot belongs to the name
    written = [stem.with_name(f"{stem.name}{suffix}") for suffix in FORMATS]
    for target in written:
        figure.savefig(target, dpi=150)
    pyplot.close(figure)
    points = stem.with_name(f"{stem.name}.csv")
    curves.frame.to_csv(points, index=False)
    return [*written, points]


def curve_figure(curves: Curves) -> Figure:
    """The picture: validation results over questions, and over tokens."""
    import matplotlib

    matplotlib.use("Agg")
    import seaborn
    from matplotlib import pyplot, ticker

    methods = methods_of(curves)
    shared, names = short_names(methods)
    colours = seaborn.color_palette("colorblind", len(methods))
    seaborn.set_theme(style="whitegrid")
    columns = max(1, min(LEGEND_COLUMNS, LEGEND_CHARACTERS // max(map(len, names))))
    legend_rows = -(-len(methods) // columns)
    figure, axes = pyplot.subplots(1, 2, figsize=(12, PLOT_INCHES + ROW_INCHES * legend_rows), sharey=True)
    for axis, cost, label in zip(axes, ("questions", "tokens"), ("annotated questions", "teacher tokens"), strict=True):
        for number, method in enumerate(methods):
            _draw(axis, curves, method, names[number], cost, colours[number], MARKERS[number % len(MARKERS)])
        axis.set_xlabel(f"{label}, mean over seeds")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_xticks(sorted({round(float(x)) for x in curves.frame.groupby("round")[cost].mean()}))
    axes[0].set_ylabel(f"validation {curves.metric}, %, higher is better")
    values = 100 * curves.frame["value"]
    axes[0].set_ylim(values.min() - 5, min(100.0, values.max() + 5))
    seeds = curves.frame.groupby("method")["seed"].nunique()
    count = str(seeds.min()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    figure.suptitle(f"{curves.title}; mean and 95 % t-interval over {count} seeds\n{shared}", fontsize="medium")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=columns, frameon=False, fontsize="small")
    figure.tight_layout(rect=(0, (ROW_INCHES * legend_rows + 0.1) / figure.get_figheight(), 1, 1))
    return figure


def short_names(methods: Sequence[str]) -> tuple[str, list[str]]:
    """(what all labels begin with, the labels without it); whole settings between `+` alone are left out."""
    parts = [method.split("+") for method in methods]
    count = 0
    while len(methods) > 1 and len({tuple(part[: count + 1]) for part in parts}) == 1:
        count += 1
    return "+".join(parts[0][:count]), ["+".join(part[count:]) or "nothing else" for part in parts]


def _draw(axis: Any, curves: Curves, method: str, name: str, cost: str, colour: Any, marker: str) -> None:
    rows = curves.frame[curves.frame["method"] == method]
    rounds = [of_round for _, of_round in rows.groupby("round")]
    intervals = [mean_with_t_interval([float(v) for v in of_round["value"]]) for of_round in rounds]
    x = [float(of_round[cost].mean()) for of_round in rounds]
    y = [100 * interval.mean for interval in intervals]
    axis.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=1.5, label=name)
    if all(interval.half_width is not None for interval in intervals):
        low = [100 * (interval.low or 0.0) for interval in intervals]
        high = [100 * (interval.high or 0.0) for interval in intervals]
        axis.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
