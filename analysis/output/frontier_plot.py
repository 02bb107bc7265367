"""What accuracy costs, as a picture: each method's result over the tokens of its teacher. Loads matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis.output.curve_plot import MARKERS, short_names
from analysis.output.tables import Block, TableRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES, PLOT_INCHES, LINE_INCHES = 4.9, 3.3, 0.17
NAME_CHARACTERS = 52
MOST_NAMED = 12
"""The legend names so many methods; of more, the undominated ones."""
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#56b4e9", "#b8a800")
"""For people who confuse colours, too; legible on white and on black. Markers tell methods apart as well."""
ROOM, PERCENT_ROOM = 1.6, 4
"""Between a point and the edge of the picture: a factor of tokens, and points of percent."""


def tokens_of(row: TableRow) -> float | None:
    """Tokens of prompts and replies charged to the teacher, mean per cell; None where nobody knows."""
    if row.teacher_prompt_tokens is None or row.teacher_completion_tokens is None:
        return None
    return row.teacher_prompt_tokens + row.teacher_completion_tokens


def methods_with_costs(block: Block) -> list[TableRow]:
    """The rows of methods that have a result and a cost."""
    return [row for row in block.rows if row.role == "method" and row.mean is not None and tokens_of(row) is not None]


def undominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of (cost, result) points that no other point beats: none is cheaper or equal, and better or equal.

    Equal points do not beat each other. The cheapest comes first.
    """
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not kept or points[place][1] > points[kept[-1]][1] or points[place] == points[kept[-1]]:
            kept.append(place)
    return kept


def frontier_figure(block: Block) -> Figure:
    """Results in percent with their intervals over tokens, references as lines, and a line through the frontier."""
    from matplotlib import pyplot

    rows = methods_with_costs(block)
    tokens = [tokens_of(row) or 0.0 for row in rows]
    values = [100 * (row.mean or 0.0) for row in rows]
    best = undominated(list(zip(tokens, values, strict=True)))
    named = list(range(len(rows))) if len(rows) <= MOST_NAMED else best[:MOST_NAMED]
    labels = [_wrapped(name) for name in short_names([row.name for row in rows])[1]]
    lines = sum(labels[place].count("\n") + 1 for place in named) + 1
    figure, axis = pyplot.subplots(figsize=(WIDTH_INCHES, PLOT_INCHES + LINE_INCHES * lines))
    places = _places(axis, tokens)
    axis.plot(places, values, marker="o", markersize=3, linestyle="none", color="0.6")
    for number, place in enumerate(named):
        _draw(axis, rows[place], (places[place], values[place]), number, labels[place])
    line = sorted((places[place], values[place]) for place in best)
    axis.plot([x for x, _ in line], [y for _, y in line], color="0.5", linewidth=1, linestyle="--", zorder=1)
    for row in block.rows:
        if row.role != "method" and row.mean is not None:
            _reference(axis, row)
    axis.set_ylabel(f"{block.key.metric}, %")
    axis.margins(y=0.1)
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, -PERCENT_ROOM), min(high, 100 + PERCENT_ROOM))  # an interval may leave [0, 100]
    axis.grid(color="0.85", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="lower left", fontsize=9, frameon=False, handletextpad=0.4, borderaxespad=0.2)
    figure.tight_layout(rect=(0, LINE_INCHES * lines / figure.get_figheight(), 1, 1))
    return figure


def _wrapped(name: str) -> str:
    """A name of several settings in lines that the legend holds, broken before a `+` where one is near."""
    return "\n".join(textwrap.wrap(name.replace("+", " +"), NAME_CHARACTERS)).replace(" +", "+")


def _places(axis: Any, tokens: Sequence[float]) -> list[float]:
    """Where costs stand on a logarithmic axis, which is set up here; nothing has a place of its own at the left."""
    from matplotlib import ticker

    paid = [cost for cost in tokens if cost > 0] or [1.0]
    free = min(paid) / ROOM**4 if 0 in tokens else None
    axis.set_xscale("log")
    axis.set_xlim((free or min(paid)) / ROOM, max(paid) * ROOM)
    whole = [step * 10**power for power in range(12) for step in (1, 2, 5)]
    inside = [tick for tick in whole if min(paid) / ROOM <= tick <= max(paid) * ROOM]
    ticks = inside[:: max(1, len(inside) // 4)] or [min(paid)]
    axis.set_xticks([*([free] if free else []), *ticks])
    axis.set_xticklabels([*(["none"] if free else []), *(_short(tick) for tick in ticks)])
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.set_xlabel("tokens charged to the teacher, mean per cell")
    return [cost if cost > 0 else free or 0.0 for cost in tokens]


def _short(tokens: float) -> str:
    """A number of tokens as `500`, `20k` or `3M`."""
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:g}{mark}"
    return f"{tokens:g}"


def _draw(axis: Any, row: TableRow, point: tuple[float, float], number: int, label: str) -> None:
    half_width = None if row.high is None else [100 * row.high - point[1]]
    marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
    axis.errorbar(
        *([value] for value in point), yerr=half_width, marker=marker, color=colour, markersize=6, linestyle="none",
        capsize=3, label=label,
    )  # fmt: skip


def _reference(axis: Any, row: TableRow) -> None:
    value = 100 * (row.mean or 0.0)
    axis.axhline(value, color="0.5", linewidth=0.8, linestyle=":")
    text = f"{row.name}, {value:.1f}"
    axis.annotate(
        text, (0.01, value), (0, 3), xycoords=axis.get_yaxis_transform(), textcoords="offset points", fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
    )  # fmt: skip
