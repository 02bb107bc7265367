"""Where a method's time and tokens go: seconds by phase, tokens by who read and wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.output.plots.blocks import MethodBlock, trained_blocks
from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    HATCHES,
    LINE_INCHES,
    amount,
    bar_colours,
    new_figure,
    put_rows,
    put_title,
    rows_inches,
    seeds_text,
    shared_line,
    short_names,
    styled,
)
from analysis.records.load import FinishedCell, Records
from benchmark.records.schema import LedgerEntry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS, CHARGED, COMPUTED = "seconds", "tokens charged", "tokens of local models"
PANELS = (SECONDS, CHARGED, COMPUTED)
PHASES = ("selection", "annotation", "weighting", "training", "evaluation")


def cost_frame(block: MethodBlock) -> pd.DataFrame:
    """One row per method, panel and part: the mean over its cells.

    The columns: `dataset`, `student`, `teacher`, `method`, `panel` (`seconds`, `tokens charged`, `tokens of local
    models`), `part` (a phase; `teacher, prompts` and `teacher, replies`; a local model and its phase), `mean`, `seeds`.
    A cell without a part counts as 0.
    """
    rows = []
    for name, group in block.methods.items():
        cells = [score.cell for score in group.scores]
        parts = [_parts(cell) for cell in cells]
        for panel, part in sorted({key for found in parts for key in found}, key=_order):
            mean = sum(found.get((panel, part), 0.0) for found in parts) / len(cells)
            row = {"method": name, "panel": panel, "part": part, "mean": mean, "seeds": len(cells)}
            rows.append({**block.columns, **row})
    return pd.DataFrame(rows)


def _order(key: tuple[str, str]) -> tuple[int, int, str]:
    """Phases in the order in which a round has them, others by name."""
    panel, part = key
    return PANELS.index(panel), PHASES.index(part) if part in PHASES else len(PHASES), part


def _parts(cell: FinishedCell) -> dict[tuple[str, str], float]:
    computed: Mapping[str, LedgerEntry] = cell.rounds[-1].computed if cell.rounds else {}
    seconds = {(SECONDS, phase): float(value) for phase, value in cell.seconds_by_phase.items()}
    local = {(COMPUTED, source): float(_tokens(entry)) for source, entry in computed.items()}
    charged: dict[tuple[str, str], float] = {}
    for source, entry in cell.charged.items():
        charged[CHARGED, f"{source}, prompts"] = float(entry.prompt_tokens)
        charged[CHARGED, f"{source}, replies"] = float(entry.completion_tokens)
    return {key: value for key, value in {**seconds, **charged, **local}.items() if value > 0}


def _tokens(entry: LedgerEntry) -> float:
    return entry.prompt_tokens + entry.completion_tokens


def cost_drawing(records: Records) -> Drawing:
    """One picture per block. Raises ResultsError where no trained cell is finished."""
    pictures, notes = [], []
    for block in trained_blocks(records):
        frame = cost_frame(block)
        untimed = [name for name, g in block.methods.items() if not all(s.cell.seconds_by_phase for s in g.scores)]
        if untimed:
            notes.append(f"{block.title}: records of older versions hold no seconds by phase: {', '.join(untimed)}")
        pictures.append(Picture(frame, partial(draw_cost, frame, block)))
    return Drawing(pictures, notes)


@styled()
def draw_cost(frame: pd.DataFrame, block: MethodBlock) -> Figure:
    """The picture of one block: a row per method, and bars of parts in one panel for seconds and two for tokens."""
    methods = list(block.methods)
    shared, names = short_names(methods)
    panels = [panel for panel in PANELS if (frame["panel"] == panel).any()]
    entries = max(frame[frame["panel"] == panel]["part"].nunique() for panel in panels)
    heights = [rows_inches(names) + 0.5, entries * LINE_INCHES * 1.35 + 0.1]
    figure = new_figure(sum(heights))
    bars, legends = figure.subplots(2, len(panels), sharey="row", squeeze=False, height_ratios=heights)
    for axis, legend, panel in zip(bars, legends, panels, strict=True):
        _panel(axis, panel, frame[frame["panel"] == panel], methods)
        legend.set_axis_off()
        legend.legend(*axis.get_legend_handles_labels(), loc="upper left", borderaxespad=0)
    put_rows(bars[0], names)
    put_title(figure, f"{_heading(block)}\n{block.title}{shared_line(shared)}")
    return figure


def _heading(block: MethodBlock) -> str:
    return f"Time and tokens by part, mean per cell over {seeds_text(block.num_seeds)}; shorter is cheaper"


def _panel(axis: Any, panel: str, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    from matplotlib import ticker

    colours = bar_colours()
    left = pd.Series(0.0, index=list(methods))
    parts = sorted(rows["part"].unique(), key=lambda part: _order((panel, part)))
    for number, part in enumerate(parts):
        same = rows[rows["part"] == part]
        width = same.set_index("method")["mean"].reindex(methods).fillna(0.0)
        axis.barh(
            range(len(methods)), width, left=left, height=0.7, label=part, color=colours[number % len(colours)],
            hatch=HATCHES[number % len(HATCHES)], edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        left = left + width
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(panel)
    axis.xaxis.set_major_locator(ticker.MaxNLocator(4))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(amount))
