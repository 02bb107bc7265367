"""The mean ratings as a picture. Loads matplotlib and seaborn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.output.curve_plot import FORMATS, MARKERS
from analysis.study.constructs import HIGHEST, LOWEST, NAMES, QUALITY
from analysis.study.measures import MeanRating

INCHES = (9.0, 4.2)
SPREAD = 0.5
"""How far the methods of one construct lie apart, of the distance between constructs."""


def plot_ratings(means: Sequence[MeanRating], methods: Sequence[str], stem: Path) -> list[Path]:
    """Writes means with 95 % intervals, per construct and method, as png and as pdf; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    import seaborn
    from matplotlib import pyplot

    seaborn.set_theme(style="whitegrid")
    colours = seaborn.color_palette("colorblind", len(methods))
    constructs = (*NAMES, QUALITY)
    figure, axis = pyplot.subplots(figsize=INCHES)
    for number, method in enumerate(methods):
        of_method = {each.construct: each for each in means if each.method == method}
        chosen = [of_method[name] for name in constructs]
        shift = SPREAD * (number / (len(methods) - 1) - 0.5)
        axis.errorbar(
            [place + shift for place in range(len(constructs))],
            [each.mean for each in chosen],
            yerr=[[each.mean - each.low for each in chosen], [each.high - each.mean for each in chosen]],
            fmt=MARKERS[number % len(MARKERS)],
            color=colours[number],
            capsize=2,
            label=method,
        )
    axis.axvline(len(NAMES) - 0.5, color="grey", linewidth=0.8)  # quality is made of the five before it
    axis.set_xticks(range(len(constructs)), constructs)
    lowest = min(each.low for each in means)
    axis.set_ylim(max(LOWEST, lowest - 0.3), HIGHEST)
    axis.set_ylabel(f"mean rating, {LOWEST} to {HIGHEST}, higher is better")
    axis.set_title("Means and 95 % intervals over participants", fontsize="medium")
    figure.legend(loc="lower center", ncol=min(len(methods), 2), frameon=False, fontsize="small")
    rows = -(-len(methods) // 2)
    figure.tight_layout(rect=(0, 0.04 + 0.05 * rows, 1, 1))
    written = [stem.with_name(f"{stem.name}{suffix}") for suffix in FORMATS]
    for path in written:
        figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return written
