"""Results against costs: which methods are worth theirs, as rows and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.output.notes import title_of
from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    GREY,
    LIGHT_GREY,
    Look,
    looks,
    new_figure,
    over_seeds,
    put_costs,
    put_legend,
    put_title,
    seeds_text,
    shared_line,
    short_names,
    styled,
)
from analysis.records.load import UNTRAINED_METHOD, WHAT_TO_RUN, Records, ResultsError, places
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.frontier import Point, dominated_by
from analysis.statistics.grouping import BlockKey, Group, Score, blocks_of, named_groups
from analysis.statistics.intervals import MeanInterval, mean_with_t_interval
from analysis.statistics.references import UNTRAINED_NAME
from analysis.statistics.scores import ScoreInterval, group_score
from benchmark.records.schema import NOTHING, LedgerEntry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRONTIER, DOMINATED, REFERENCE, UNKNOWN = "frontier", "dominated", "reference", "unknown cost"
HEIGHT_INCHES = 3.4
SHARE_LIMITS = (-2.0, 102.0)
"""An axis of shares in percent ends here; intervals may go on."""


class Cost(StrEnum):
    """What a method can be charged with."""

    TOKENS = "tokens"
    QUESTIONS = "questions"
    USD = "usd"
    TOKENS_PER_ANSWER = "tokens_per_answer"


@dataclass(frozen=True)
class CostAxis:
    """One kind of cost."""

    label: str
    """What it is, with its unit."""
    of: Callable[[Score], float | None]
    """The cost of one cell; None where it is not known."""
    leaves_out_people: bool = True
    """Whether it does not count the questions that people labelled."""
    in_tokens: bool = True
    """Whether it rests on tokens of a teacher, which may be estimated."""


def _charged(amount_of: Callable[[LedgerEntry], float | None]) -> Callable[[Score], float | None]:
    return lambda score: amount_of(score.cell.charged.get("teacher", NOTHING))


COSTS = {
    Cost.TOKENS: CostAxis(
        "tokens charged to the teacher", _charged(lambda entry: entry.prompt_tokens + entry.completion_tokens)
    ),
    Cost.QUESTIONS: CostAxis(
        "questions charged to the teacher", _charged(lambda entry: entry.questions), in_tokens=False
    ),
    Cost.USD: CostAxis("US dollars charged to the teacher", _charged(lambda entry: entry.usd)),
    Cost.TOKENS_PER_ANSWER: CostAxis(
        "tokens that the student writes per answer",
        lambda score: score.test.completion_tokens_per_answer,
        leaves_out_people=False,
        in_tokens=False,
    ),
}


def frontier_frames(records: Records, cost: Cost, files: OutcomeFiles) -> list[tuple[str, pd.DataFrame]]:
    """(title, one row per method: its result, its cost, and what dominates it) of every block.

    The columns: `dataset`, `test_dataset`, `metric`, `student`, `teacher`, `method` (a name that is unique in the
    block), `mean`, `low`, `high` (the result, as a share), `cost` (which one), `cost_mean`, `cost_low`, `cost_high`,
    `cost_estimated`, `seeds`, `role` and `dominated_by`. Intervals are 95 %: of results over seeds and questions, as in
    `table`, and of costs over seeds. The role `reference` has the untrained student and, where the cost is the
    teacher's, methods that people labelled questions
    for: they are compared with nothing. Domination is by the means alone.

    Raises ResultsError where no cell is finished.
    """
    blocks = blocks_of(records.complete)
    if not blocks:
        raise ResultsError(f"{places(records)} holds no finished cell: {WHAT_TO_RUN}")
    return [(title_of(key), pd.DataFrame(_block_rows(key, scores, cost, files))) for key, scores in blocks.items()]


def _block_rows(key: BlockKey, scores: Sequence[Score], cost: Cost, files: OutcomeFiles) -> list[dict[str, Any]]:
    rows = [_row(key, name, group, cost, files) for name, group in named_groups(scores)]
    points = [Point(row["method"], row["cost_mean"], row["mean"]) for row in rows if row["role"] == FRONTIER]
    better = dominated_by(points)
    for row in rows:
        row["dominated_by"] = better.get(row["method"])
        row["role"] = DOMINATED if row["dominated_by"] else row["role"]
    return rows


def _row(key: BlockKey, name: str, group: Group, cost: Cost, files: OutcomeFiles) -> dict[str, Any]:
    result = group_score(group, files)
    costs = [COSTS[cost].of(score) for score in group.scores]
    known = [float(each) for each in costs if each is not None]
    spread = mean_with_t_interval(known) if len(known) == len(costs) else None
    return {
        **asdict(key),
        "method": UNTRAINED_NAME + name.removeprefix(UNTRAINED_METHOD) if group.method == UNTRAINED_METHOD else name,
        **_interval(result, ""),
        "cost": cost.value,
        **_interval(spread, "cost_"),
        "cost_estimated": COSTS[cost].in_tokens and any(score.cell.cost_estimated for score in group.scores),
        "seeds": result.num_seeds,
        "role": _role(group, cost, spread),
    }


def _interval(interval: MeanInterval | ScoreInterval | None, prefix: str) -> dict[str, float | None]:
    return {f"{prefix}{end}": None if interval is None else getattr(interval, end) for end in ("mean", "low", "high")}


def _role(group: Group, cost: Cost, spread: MeanInterval | None) -> str:
    by_people = any(score.cell.charged.get("human", NOTHING).questions for score in group.scores)
    if group.method == UNTRAINED_METHOD or (by_people and COSTS[cost].leaves_out_people):
        return REFERENCE
    return UNKNOWN if spread is None else FRONTIER


# --- the picture -----------------------------------------------------------------------------------------------------


def frontier_drawing(records: Records, cost: Cost, files: OutcomeFiles) -> Drawing:
    """One picture per block. Raises ResultsError where no block has a method with a known cost."""
    frames = frontier_frames(records, cost, files)
    drawn = [(title, rows) for title, rows in frames if (rows["role"] == FRONTIER).any()]
    if not drawn:
        label = COSTS[cost].label
        raise ResultsError(f"{places(records)} holds no method whose {label} are known: choose another --cost")
    notes = [note for title, rows in frames for note in _notes(title, rows, cost)]
    pictures = [Picture(rows, partial(draw_frontier, rows, title, cost)) for title, rows in drawn]
    return Drawing(pictures, notes, files.problems)


def _notes(title: str, rows: pd.DataFrame, cost: Cost) -> Iterable[str]:
    unknown = rows.loc[rows["role"] == UNKNOWN, "method"]
    if len(unknown):
        yield f"{title}: not drawn, because their {COSTS[cost].label} are not known: {', '.join(unknown)}"
    if not (rows["role"] == FRONTIER).any():
        yield f"{title}: not drawn, because it has references alone: {', '.join(rows['method'])}"


@styled()
def draw_frontier(rows: pd.DataFrame, title: str, cost: Cost) -> Figure:
    """The picture of one block: points with intervals, the frontier as a step line, references as dotted lines."""
    figure = new_figure(HEIGHT_INCHES)
    axis = figure.subplots()
    points = rows[rows["role"].isin([FRONTIER, DOMINATED])].sort_values(["cost_mean", "mean"])
    shared, names = short_names(list(points["method"]))
    on_frontier = points["role"] == FRONTIER
    of_method = looks(name for name in rows["method"] if not name.startswith(UNTRAINED_NAME))
    keys = [_point(axis, row, of_method[row["method"]]) for _, row in points.iterrows()]
    put_costs(axis, points["cost_mean"], points["cost_high"].fillna(0).max())
    _step_line(axis, points[on_frontier])
    references = _references(axis, rows[rows["role"] == REFERENCE])
    axis.set_ylim(*np.clip(axis.get_ylim(), *SHARE_LIMITS))
    metric, label = rows["metric"].iloc[0], COSTS[cost].label
    axis.set_xlabel(f"{label}{', some estimated' if points['cost_estimated'].any() else ''}; lower is better")
    axis.set_ylabel(f"test {metric}, %; higher is better")
    put_legend(figure, [*keys, *references], [*names, *(line.get_label() for line in references)])
    explained = "Line: what nothing dominates; grey: another method costs no more and reaches no less"
    put_title(
        figure,
        f"Test {metric} against {label}\n{title}\n{_intervals_of(rows)}\n{explained}{shared_line(shared)}",
    )
    return figure


def _intervals_of(rows: pd.DataFrame) -> str:
    """What the points and bars are, for the title."""
    if rows["high"].isna().all():
        return over_seeds(list(rows["seeds"]))
    return f"Means of {seeds_text(list(rows['seeds']))}, bars are the 95 % intervals of `table`"


def _point(axis: Any, row: pd.Series[Any], look: Look) -> Any:
    """Draws one method; returns its marker. A dominated one is hollow, so that it hides nothing."""
    dominated = row["role"] == DOMINATED
    container = axis.errorbar(
        row["cost_mean"],
        100 * row["mean"],
        xerr=_half_width(row, "cost_"),
        yerr=_half_width(row, "", 100),
        fmt=look.marker,
        color=GREY if dominated else look.colour,
        markerfacecolor="none" if dominated else look.colour,
        capsize=2,
        linewidth=1,
        zorder=4 if dominated else 3,
    )
    return container.lines[0]


def _half_width(row: pd.Series[Any], prefix: str, factor: float = 1) -> float | None:
    high = row[f"{prefix}high"]
    return None if pd.isna(high) else factor * float(high - row[f"{prefix}mean"])


def _references(axis: Any, rows: pd.DataFrame) -> list[Any]:
    lines = []
    for number, (name, mean) in enumerate(zip(rows["method"], rows["mean"], strict=True)):
        dashes = (0, (1 + 3 * number, 2))
        lines.append(axis.axhline(100 * mean, color=GREY, linewidth=1, linestyle=dashes, label=f"{name} (reference)"))
    return lines


def _step_line(axis: Any, frontier: pd.DataFrame) -> None:
    """The best result for every cost, up to the right edge."""
    costs, values = list(frontier["cost_mean"]), list(100 * frontier["mean"])
    axis.step([*costs, axis.get_xlim()[1]], [*values, values[-1]], where="post", color=LIGHT_GREY, linewidth=1.5)
