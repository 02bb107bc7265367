"""How all pictures look: size, fonts, colours, markers, names, titles and legends. Loads matplotlib when it is used."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from analysis.statistics.grouping import natural_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES = 7.2
"""The width of every picture, that of a page's text: printed at 100 %, its letters have the sizes below."""
TEXT_POINTS, SMALL_POINTS = 9.0, 8.0
DOTS_PER_INCH = 200
GREY, LIGHT_GREY = "0.55", "0.75"
MARKERS = "osD^vP*Xhp<>"
FEW_LINES = 4
"""So many bands over each other are still to be seen."""
HATCHES = ("", "////", ".....", "\\\\\\\\", "||||", "----", "++++", "xxxx")
PALETTE = "colorblind"
FAINT = (7, 8)
"""Colours of the palette that are left out: grey means something here, and yellow is faint on white."""
SETTINGS: dict[str, Any] = {
    "text.parse_math": False,  # names of methods may hold any character
    "font.size": TEXT_POINTS,
    **dict.fromkeys(("axes.labelsize", "axes.titlesize", "figure.titlesize"), TEXT_POINTS),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), SMALL_POINTS),
    "axes.titlelocation": "left",
    "axes.edgecolor": LIGHT_GREY,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "grid.color": "0.9",
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    "lines.markersize": 5,
    "lines.linewidth": 1.3,
    "pdf.fonttype": 42,  # letters stay letters, which publishers ask for
}
WIDE_RANGE = 4
LEGEND_HANDLE_INCHES = 0.5
LABEL_INCHES = 2.0
"""The width of the names of rows."""
LINE_INCHES, ROW_GAP_INCHES = 0.14, 0.14


@contextmanager
def styled() -> Iterator[None]:
    """While it lasts, what is drawn has the look of all pictures; the settings of a notebook stay as they were."""
    import matplotlib
    import seaborn

    settings: dict[Any, Any] = {**seaborn.axes_style("whitegrid"), **SETTINGS}
    with matplotlib.rc_context(settings):
        yield


@dataclass(frozen=True)
class Look:
    """The colour and the marker of one method."""

    colour: tuple[float, float, float]
    marker: str


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """Method -> its look, which does not depend on the order of the methods; the first 24 looks are different."""
    colours = bar_colours()
    ordered = sorted(methods, key=natural_order)
    return {name: Look(colours[i % len(colours)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(ordered)}


def key(look: Look, line: bool = False) -> Any:
    """What stands before a method's name in a legend: its marker, on a line if it has one in the picture."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="-" if line else "")


def bar_colours() -> list[tuple[float, float, float]]:
    """The palette's colours that can be told apart on white."""
    import seaborn

    return [colour for number, colour in enumerate(seaborn.color_palette(PALETTE)) if number not in FAINT]


# --- words -----------------------------------------------------------------------------------------------------------


def short_names(methods: Sequence[str]) -> tuple[str, list[str]]:
    """(what all labels begin with, the labels without it); whole settings between `+` alone are left out."""
    parts = [method.split("+") for method in methods]
    count = 0
    while len(methods) > 1 and len({tuple(part[: count + 1]) for part in parts}) == 1:
        count += 1
    return "+".join(parts[0][:count]), ["+".join(part[count:]) or "nothing else" for part in parts]


def shared_line(shared: str) -> str:
    """The line of a title that names what `short_names` left out of all names; empty if it left out nothing."""
    return f"\nAll methods: {shared}" if shared else ""


def over_seeds(counts: Collection[int], what: str = "Means and 95 % t-intervals") -> str:
    """What the points of a picture are, for its title; `counts` are the numbers of seeds of its methods."""
    if max(counts) == 1:
        return "One seed, so no interval"
    return f"{what} over {seeds_text(counts)}{'; no interval for one seed' if min(counts) == 1 else ''}"


def seeds_text(counts: Collection[int]) -> str:
    """Such as `1 seed` or `2 to 3 seeds`."""
    low, high = min(counts), max(counts)
    return f"{low} to {high} seeds" if low < high else f"{high} seed{'' if high == 1 else 's'}"


def signed(value: float) -> str:
    """A difference with one decimal and its sign."""
    return f"{value:+.1f}".replace("-", "−")


def amount(value: float, _: Any = None) -> str:
    """A number for an axis, such as `1.5k` or `3M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def wrapped(text: str, inches: float, points: float = SMALL_POINTS) -> str:
    """The text in lines that are at most that wide; lines end behind a space or a sign, else within a word."""
    return "\n".join(line for paragraph in text.split("\n") for line in _lines(paragraph, inches, points))


def _lines(text: str, inches: float, points: float) -> list[str]:
    lines = [""]
    for piece in re.findall(r"[^\s+_=,/;:-]*[\s+_=,/;:-]+|[^\s+_=,/;:-]+", text):
        if text_inches((lines[-1] + piece).rstrip(), points) <= inches:
            lines[-1] += piece
            continue
        if text_inches(piece.rstrip(), points) <= inches:
            lines.append(piece)
            continue
        for letter in piece:
            if text_inches(lines[-1] + letter, points) > inches and letter != " ":
                lines.append("")
            lines[-1] += letter
    return [line.rstrip() for line in lines if line.strip()]


@lru_cache(maxsize=4096)
def text_inches(text: str, points: float) -> float:
    """How wide a line of text is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=points), False)[0]) / 72


# --- lines -----------------------------------------------------------------------------------------------------------


def put_band(
    axis: Any, x: Sequence[float], low: Sequence[float], high: Sequence[float], look: Look, num_lines: int
) -> None:
    """The interval around one of several lines, lighter among many; a bar where the line is one point."""
    if len(x) == 1:
        axis.vlines(x, low, high, color=look.colour, linewidth=1)
    else:
        alpha = 0.15 * min(1.0, FEW_LINES / num_lines)
        axis.fill_between(x, low, high, color=look.colour, alpha=alpha, linewidth=0)


def put_costs(axis: Any, costs: Iterable[float], highest: float = 0.0) -> None:
    """Sets the x axis for costs, which ends at the largest or at `highest`.

    It is logarithmic where the largest cost is `WIDE_RANGE` times the smallest or more; else it begins at 0.
    """
    from matplotlib import ticker

    low, high = min(costs), max(costs)
    right = max(high, highest)
    if low > 0 and high >= WIDE_RANGE * low:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_xlim(low / 1.3, right * 1.3)
    else:
        axis.set_xlim(-0.05 * right if low == 0 else 0, 1.1 * right or 1)
        axis.xaxis.set_major_locator(ticker.MaxNLocator(6))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(amount))


# --- the sheet -------------------------------------------------------------------------------------------------------


def new_figure(height_inches: float) -> Figure:
    """An empty picture that finds its margins by itself; belongs to no window, and to no notebook."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained", dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)  # texts can be measured
    return figure


def put_title(figure: Figure, text: str) -> None:
    """Sets the title to the left, in lines that fit, and makes the picture higher by its height."""
    title = figure.suptitle(wrapped(text, WIDTH_INCHES - 0.2, TEXT_POINTS), x=0.1 / WIDTH_INCHES, ha="left")
    _grow(figure, title)


def put_legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Sets a legend below the axes, in as many columns as fit, and makes the picture higher by its height."""
    room = WIDTH_INCHES - 0.2 - LEGEND_HANDLE_INCHES
    labels = [wrapped(name, room) for name in names]
    widest = max(text_inches(line, SMALL_POINTS) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), int((WIDTH_INCHES - 0.2) / (widest + LEGEND_HANDLE_INCHES))))
    legend = figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    _grow(figure, legend)


def rows_inches(names: Sequence[str]) -> float:
    """The height that `put_rows` needs for as many rows."""
    most_lines = max(wrapped(name, LABEL_INCHES).count("\n") + 1 for name in names)
    return len(names) * (most_lines * LINE_INCHES + ROW_GAP_INCHES)


def put_rows(axis: Any, names: Sequence[str]) -> None:
    """Names the rows 0, 1, ... of an axis from top to bottom."""
    axis.set_yticks(range(len(names)), [wrapped(name, LABEL_INCHES) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def _grow(figure: Figure, artist: Any) -> None:
    height = artist.get_window_extent(figure.canvas.get_renderer()).height / figure.dpi  # type: ignore[attr-defined]
    figure.set_figheight(figure.get_figheight() + height)
