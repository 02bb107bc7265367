"""Which methods are right and wrong on the same test questions, as rows and as a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.output.plots.blocks import MethodBlock, trained_blocks
from analysis.output.plots.picture import Drawing, Picture
from analysis.output.plots.style import (
    SMALL_POINTS,
    new_figure,
    put_rows,
    put_title,
    rows_inches,
    seeds_text,
    shared_line,
    short_names,
    styled,
)
from analysis.records.frames import TableError, read_parquet
from analysis.records.load import FinishedCell, Problem, Records, ResultsError, places
from analysis.statistics.agreement import Agreement, agreement
from analysis.statistics.grouping import Group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "predictions.parquet"
WHAT_IS_LACKING = "is not there, so that nothing says which questions were right; restore it, or run the cell again"
COLUMNS = ("example_id", "correct")


def right_answers(cells: Sequence[FinishedCell]) -> tuple[pd.DataFrame, list[Problem]]:
    """(whether each cell got each question right, files that could not be read).

    A row per question and a column per cell id, 1.0 or 0.0; NaN where a cell was not asked, or where the task knows no
    right or wrong.
    """
    columns, problems = {}, []
    for cell in cells:
        path = cell.folder / FILE
        if not path.is_file():
            problems.append(Problem(path, WHAT_IS_LACKING))
            continue
        try:
            rows = read_parquet(path, COLUMNS)
        except TableError as error:
            problems.append(Problem(path, str(error)))
            continue
        if rows["example_id"].duplicated().any():
            problems.append(Problem(path, "holds a question twice; restore it, or run the cell again"))
            continue
        columns[cell.names.cell_id] = rows.set_index("example_id")["correct"].astype(float)
    return pd.DataFrame(columns), problems


def agreement_frame(block: MethodBlock, right: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of methods with common seeds and questions; of one method with itself, two different seeds.

    The columns: `dataset`, `student`, `teacher`, `method`, `other`, `pairs` (of cells), `questions` (over all pairs),
    `both_right`, `only_method`, `only_other`, `both_wrong` (counts of questions), `agreement` (the share of both right
    or both wrong) and `kappa` (Cohen's; missing where chance alone makes them agree).
    """
    names = list(block.methods)
    rows = []
    for first, name in enumerate(names):
        for other in names[first:]:
            pairs = _pairs(block.methods[name], block.methods[other], name == other)
            answers = [right[list(pair)].dropna().to_numpy() for pair in pairs if set(pair) <= set(right.columns)]
            known = [each for each in answers if len(each)]
            if known:
                both = np.concatenate(known) == 1
                found = agreement(both[:, 0], both[:, 1])
                rows.append({**block.columns, "method": name, "other": other, "pairs": len(known), **_counts(found)})
    return pd.DataFrame(rows)


def _pairs(first: Group, second: Group, same: bool) -> Iterator[tuple[str, str]]:
    """The ids of the cells that are compared: equal seeds of two methods, or two seeds of one."""
    if same:
        yield from combinations((score.cell.names.cell_id for score in first.scores), 2)
        return
    others = {score.cell.names.seed: score.cell.names.cell_id for score in second.scores}
    for score in first.scores:
        if score.cell.names.seed in others:
            yield score.cell.names.cell_id, others[score.cell.names.seed]


def _counts(found: Agreement) -> dict[str, float | None]:
    return {
        "questions": found.questions,
        "both_right": found.both_right,
        "only_method": found.only_first,
        "only_other": found.only_second,
        "both_wrong": found.both_wrong,
        "agreement": found.share,
        "kappa": found.kappa,
    }


def agreement_drawing(records: Records) -> Drawing:
    """One heat map per block. Raises ResultsError where no two cells have common questions."""
    pictures, notes, problems = [], [], []
    for block in trained_blocks(records):
        cells = [score.cell for group in block.methods.values() for score in group.scores]
        right, unread = right_answers(cells)
        problems += unread
        frame = agreement_frame(block, right)
        if frame.empty:
            notes.append(f"{block.title}: not drawn, no two cells have a seed and graded questions in common")
            continue
        pictures.append(Picture(frame, partial(draw_agreement, frame, block.title)))
    if not pictures:
        raise ResultsError("; ".join(dict.fromkeys([*map(str, problems), *notes])) + f" (in {places(records)})")
    return Drawing(pictures, notes, list(dict.fromkeys(problems)))


@styled()
def draw_agreement(frame: pd.DataFrame, title: str) -> Figure:
    """The heat map of one block; rows and columns are methods, the columns by their numbers.

    On the diagonal and below it are the shares in percent, with colours; above it is Cohen's kappa.
    """
    names = list(dict.fromkeys([*frame["method"], *frame["other"]]))
    shared, labels = short_names(names)
    rows = [f"{number}  {label}" for number, label in enumerate(labels, 1)]
    figure = new_figure(rows_inches(rows) + 0.4)
    axis = figure.subplots()
    shares = 100 * _below_the_diagonal(frame, names, "agreement")
    axis.imshow(shares, cmap="cividis", aspect="auto")
    middle = (np.nanmin(shares) + np.nanmax(shares)) / 2
    for (row, column), share in np.ndenumerate(shares):
        if not np.isnan(share):
            _write(axis, row, column, f"{share:.0f}", "black" if share > middle else "white")
    for (row, column), kappa in np.ndenumerate(_below_the_diagonal(frame, names, "kappa")):
        if row > column and not np.isnan(kappa):
            _write(axis, column, row, f"{kappa:.2f}".replace("-", "−"), "0.3")
    axis.grid(visible=False)
    axis.set_xticks(range(len(names)), [str(number) for number in range(1, len(names) + 1)])
    put_rows(axis, rows)
    between = frame[frame["method"] != frame["other"]]["pairs"]
    put_title(figure, f"{_heading(list(between))}\n{title}{shared_line(shared)}")
    return figure


def _below_the_diagonal(frame: pd.DataFrame, names: Sequence[str], column: str) -> NDArray[np.float64]:
    """The values of a column of `agreement_frame`, by the numbers of both methods; NaN elsewhere."""
    values = np.full((len(names), len(names)), np.nan)
    for method, other, value in zip(frame["method"], frame["other"], frame[column].astype(float), strict=True):
        first, second = sorted((names.index(method), names.index(other)))
        values[second, first] = value
    return values


def _write(axis: Any, row: int, column: int, text: str, colour: str) -> None:
    axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=SMALL_POINTS)


def _heading(pairs: Sequence[int]) -> str:
    over = f", over {seeds_text(pairs)} of both" if pairs else ""
    return (
        f"Test questions on which two methods are both right or both wrong, %{over}\n"
        "On the diagonal: two seeds of one method; above it: Cohen's kappa, 0 = as by chance, 1 = always"
    )
