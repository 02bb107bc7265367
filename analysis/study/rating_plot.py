"""The mean ratings as a picture. Loads matplotlib and seaborn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.output.plots.picture import save
from analysis.output.plots.style import GREY, Look, looks, new_figure, put_legend, put_title, styled
from analysis.study.constructs import HIGHEST, LOWEST, NAMES, QUALITY
from analysis.study.measures import MeanRating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT_INCHES = 3.2
SPREAD = 0.5
"""How far the methods of one construct lie apart, of the distance between constructs."""


def plot_ratings(means: Sequence[MeanRating], methods: Sequence[str], stem: Path) -> list[Path]:
    """Writes means with 95 % intervals, per construct and method, as png and as pdf; returns their paths."""
    with styled():
        return save(draw_ratings(means, methods), stem)


@styled()
def draw_ratings(means: Sequence[MeanRating], methods: Sequence[str]) -> Figure:
    """The picture: a place per construct, and a point with its interval per method."""
    constructs = (*NAMES, QUALITY)
    figure = new_figure(HEIGHT_INCHES)
    axis = figure.subplots()
    points = []
    for number, (method, look) in enumerate(looks(methods).items()):
        of_method = {each.construct: each for each in means if each.method == method}
        shift = SPREAD * (number / (len(methods) - 1) - 0.5)
        points.append(_points(axis, [of_method[name] for name in constructs], shift, look))
    axis.axvline(len(NAMES) - 0.5, color=GREY, linewidth=0.8)  # quality is made of the five before it
    axis.set_xticks(range(len(constructs)), constructs)
    axis.set_ylim(max(LOWEST, min(each.low for each in means) - 0.3), HIGHEST)
    axis.set_ylabel(f"mean rating, {LOWEST} to {HIGHEST}")
    put_legend(figure, points, list(looks(methods)))
    put_title(figure, "Ratings of explanations; higher is better\nMeans and 95 % intervals over participants")
    return figure


def _points(axis: Any, chosen: Sequence[MeanRating], shift: float, look: Look) -> Any:
    container = axis.errorbar(
        [place + shift for place in range(len(chosen))],
        [each.mean for each in chosen],
        yerr=[[each.mean - each.low for each in chosen], [each.high - each.mean for each in chosen]],
        fmt=look.marker,
        color=look.colour,
        capsize=2,
    )
    return container.lines[0]
