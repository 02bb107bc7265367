"""Mean ranks of methods over blocks and seeds, with Nemenyi's critical difference, as rows and as a diagram."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.output.plots.blocks import MethodBlock, trained_blocks
from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    GREY,
    LINE_INCHES,
    SMALL_POINTS,
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
from analysis.statistics.grouping import natural_order
from analysis.statistics.mean_ranks import SIGNIFICANCE, RankComparison, compare_ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE_INCHES = 1.9
"""The width of the names at each side."""
BAR_INCHES, LEVEL_GAP_INCHES = 0.1, 0.12


def results_by_metric(records: Records) -> dict[str, pd.DataFrame]:
    """Metric -> the test results: a row per block and seed, a column per method in natural order; NaN where not run.

    Blocks are those of the cells' own test sets; the untrained student is no method.
    """
    rows: dict[str, dict[tuple[str, int], dict[str, float]]] = {}
    for block in trained_blocks(records):
        of_metric = rows.setdefault(block.key.metric, {})
        for (title, seed, method), value in _values(block):
            of_metric.setdefault((title, seed), {})[method] = value
    return {metric: _wide(found) for metric, found in rows.items()}


def _values(block: MethodBlock) -> Iterator[tuple[tuple[str, int, str], float]]:
    for method, group in block.methods.items():
        for score in group.scores:
            yield (block.title, score.cell.names.seed, method), score.test.value


def _wide(rows: dict[tuple[str, int], dict[str, float]]) -> pd.DataFrame:
    keys = sorted(rows)
    methods = sorted({method for row in rows.values() for method in row}, key=natural_order)
    index = pd.MultiIndex.from_tuples(keys, names=["block", "seed"])
    return pd.DataFrame([rows[key] for key in keys], index=index, columns=methods)


def ranks_frame(compared: RankComparison) -> pd.DataFrame:
    """One row per method, best first.

    The columns: `method`, `mean_rank`, `blocks` (rankings), `friedman`, `p`, `critical_difference` and `groups`, which
    holds the numbers of the bars in the diagram, from 1: methods with a common one do not differ by Nemenyi's test.
    """
    return pd.DataFrame(
        {
            "method": method,
            "mean_rank": rank,
            "blocks": compared.num_blocks,
            "friedman": compared.friedman,
            "p": compared.p,
            "critical_difference": compared.critical_difference,
            "groups": " ".join(str(number) for number, group in enumerate(compared.groups, 1) if method in group),
        }
        for method, rank in compared.mean_ranks.items()
    )


def critical_difference_drawing(records: Records) -> Drawing:
    """One diagram per metric. Raises ResultsError where no metric has two methods and a whole block."""
    pictures: list[Picture] = []
    notes: list[str] = []
    refused: list[str] = []
    for metric, results in results_by_metric(records).items():
        whole = results.dropna()
        reason = _refusal(results)
        if reason:
            refused.append(f"{metric}: {reason}")
            continue
        compared = compare_ranks(whole)
        notes += _left_out(results)
        title = _title(metric, whole, compared)
        pictures.append(Picture(ranks_frame(compared), partial(draw_ranks, compared, title)))
    if not pictures:
        raise ResultsError(f"{places(records)}: mean ranks cannot be compared. {'; '.join(refused)}")
    return Drawing(pictures, [*notes, *(f"not drawn: {line}" for line in refused)])


def _refusal(results: pd.DataFrame) -> str | None:
    """Why there are no ranks; None if there are."""
    if len(results.columns) < 2:
        return f"{results.columns[0]} is the only method: run another one with the same seeds"
    if not results.dropna().empty:
        return None
    (block, seed), lacking = min(_lacking(results), key=lambda pair: len(pair[1]))
    return (
        f"no block and seed has all {len(results.columns)} methods: {block}, seed {seed} has most, "
        f"and lacks {', '.join(lacking)}"
    )


def _lacking(results: pd.DataFrame) -> list[tuple[tuple[str, int], tuple[str, ...]]]:
    """((block, seed), the methods that were not run there) for each row with such methods."""
    missing = zip(results.index, results.isna().to_numpy(), strict=True)
    return [(key, tuple(results.columns[flags])) for key, flags in missing if flags.any()]


def _left_out(results: pd.DataFrame) -> Iterator[str]:
    seeds: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for (block, seed), methods in _lacking(results):
        seeds.setdefault((block, methods), []).append(seed)
    for (block, methods), same in seeds.items():
        yield f"left out of the ranks: {block}, seeds {', '.join(map(str, same))}, without {', '.join(methods)}"


def _title(metric: str, whole: pd.DataFrame, compared: RankComparison) -> str:
    blocks = whole.index.get_level_values("block").unique()
    seeds = seeds_text(list(whole.groupby(level="block").size()))
    over = "; ".join(blocks) if len(blocks) <= 2 else f"{len(blocks)} blocks"
    p = "< 0.001" if compared.p < 0.001 else f"= {compared.p:.3f}"
    verdict = "" if compared.p < SIGNIFICANCE else ": no difference is shown"
    return (
        f"Mean rank by test {metric}; left is better (1 = best of {len(whole.columns)})\n{over}\n"
        f"{len(whole)} rankings, one per block and seed ({seeds}); Friedman p {p}{verdict}\n"
        f"Bars join methods that do not differ by Nemenyi's test at 5 %"
    )


# --- the diagram -----------------------------------------------------------------------------------------------------


@styled()
def draw_ranks(compared: RankComparison, title: str) -> Figure:
    """The diagram: an axis of ranks, the critical difference above it, bars and names below; y is in inches."""
    methods = list(compared.mean_ranks)
    shared, names = short_names(methods)
    labels = [wrapped(name, SIDE_INCHES) for name in names]
    level = max(label.count("\n") + 1 for label in labels) * LINE_INCHES + LEVEL_GAP_INCHES
    first = 0.2 + BAR_INCHES * len(compared.groups) + level / 2
    on_the_left = -(-len(methods) // 2)
    figure = new_figure(first + level * on_the_left + 0.65)
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_xlim(1, len(methods))
    axis.set_ylim(first + level * (on_the_left - 0.5), -0.65)
    _rank_axis(axis, len(methods), compared.critical_difference)
    of_method = looks(methods)
    for place, method in enumerate(methods):
        left = place < on_the_left
        row = place if left else len(methods) - 1 - place
        _name(axis, compared.mean_ranks[method], first + level * row, left, labels[place], of_method[method])
    for number, group in enumerate(compared.groups):
        ends = [compared.mean_ranks[group[0]], compared.mean_ranks[group[-1]]]
        axis.plot(ends, [0.15 + BAR_INCHES * number] * 2, color="0.2", linewidth=3, solid_capstyle="round")
    put_title(figure, f"{title}{shared_line(shared)}")
    return figure


def _rank_axis(axis: Any, num_methods: int, difference: float) -> None:
    axis.plot([1, num_methods], [0, 0], color="0.2", linewidth=1, clip_on=False)
    for rank in range(1, num_methods + 1):
        axis.plot([rank, rank], [0, -0.06], color="0.2", linewidth=1, clip_on=False)
        axis.text(rank, -0.1, str(rank), ha="center", va="bottom", fontsize=SMALL_POINTS)
    end = min(1 + difference, num_methods)
    axis.plot([1, end], [-0.4, -0.4], color=GREY, linewidth=1.5, marker="|", clip_on=False)
    beyond = ", wider than the axis" if 1 + difference > num_methods else ""
    axis.text(1, -0.48, f"critical difference {difference:.2f}{beyond}", va="bottom", fontsize=SMALL_POINTS)


def _name(axis: Any, rank: float, height: float, left: bool, label: str, look: Look) -> None:
    """The name at its side, with a line to its rank on the axis."""
    side = axis.get_xlim()[0 if left else 1]
    axis.plot([rank, rank, side], [0, height, height], color=look.colour, linewidth=1, clip_on=False)
    axis.plot(rank, height, color=look.colour, marker=look.marker, clip_on=False, zorder=4)
    offset = (-6, 0) if left else (6, 0)
    axis.annotate(
        label, (side, height), xytext=offset, textcoords="offset points",
        ha="right" if left else "left", va="center", fontsize=SMALL_POINTS, annotation_clip=False,
    )  # fmt: skip
