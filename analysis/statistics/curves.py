"""Learning curves out of finished cells: after every round, what was bought, its cost, and the student's result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.records.load import WHAT_TO_RUN, FinishedCell, Records, ResultsError, places
from analysis.statistics.grouping import Group, blocks_of, distinct_names, group_scores, natural_order
from benchmark.records.schema import NOTHING, RoundRecord, unread_shares


@dataclass(frozen=True)
class Curves:
    """The learning curves of cells that differ in method and seed only."""

    dataset: str
    """The dataset."""
    student: str
    """The student."""
    teacher: str | None
    """The teacher; None if nobody asked one."""
    metric: str
    """The metric, measured on the validation split."""
    frame: pd.DataFrame
    """One row per cell and round; see `curves_of`."""
    groups: Mapping[str, Group]
    """Name of a method -> its cells."""

    @property
    def cells(self) -> list[FinishedCell]:
        """The cells of all methods."""
        return [score.cell for group in self.groups.values() for score in group.scores]

    @property
    def title(self) -> str:
        """What all curves share."""
        return f"{self.dataset}: student {self.student}, teacher {self.teacher or 'none'}"


def curves_of(records: Records) -> list[Curves]:
    """The curves of all finished cells with a round, block by block.

    The columns of a frame: `dataset`, `student`, `teacher`, `method` (a name that is unique in the block), `seed`,
    `cell_id`, `round` (from 0), `questions`, `calls`, `prompt_tokens`, `completion_tokens`, `tokens`, `usd` (all
    that was charged to the teacher from the cell's start), `metric`, `value` (on validation), `test_value` (of the
    whole cell), `optimiser_steps` (of the round), and `note_NAME` for every note of a part.
    """
    found = []
    for key, scores in blocks_of(records.complete).items():
        groups = [group for group in group_scores(scores) if any(score.cell.rounds for score in group.scores)]
        if key.test_dataset != key.dataset or not groups:
            continue
        names = distinct_names([(group.method, group.settings) for group in groups])
        rows = [
            {"method": name, **row, "test_value": score.test.value}
            for group, name in zip(groups, names, strict=True)
            for score in group.scores
            for row in _rows(score.cell)
        ]
        if not rows:  # records from before rounds were counted
            continue
        frame = pd.DataFrame(rows)
        shared = [{"dataset": key.dataset, "student": key.student, "teacher": key.teacher}] * len(frame)
        frame = pd.concat([pd.DataFrame(shared), frame], axis=1)
        named = dict(zip(names, groups, strict=True))
        found.append(Curves(key.dataset, key.student, key.teacher, key.metric, frame, named))
    return found


def known_curves(records: Records) -> list[Curves]:
    """The same. Raises ResultsError where there is none."""
    found = curves_of(records)
    if not found:
        raise ResultsError(f"{places(records)} holds no finished cell with rounds: {WHAT_TO_RUN}")
    return found


def unread_notes(title: str, cells: Iterable[FinishedCell]) -> list[str]:
    """One line per cell and round in which too few of the student's answers could be read for its selection."""
    return [
        f"{title}: the selection's score means nothing in round {number} of {cell.names.method}, "
        f"seed {cell.names.seed}: {share:.0%} of the student's {what} could not be read."
        for cell in cells
        for number, log in enumerate(cell.rounds, 1)
        for what, share in unread_shares(log.notes).items()
    ]


def methods_of(curves: Curves) -> list[str]:
    """The names of the methods, in their natural order."""
    return sorted(set(curves.frame["method"]), key=natural_order)


def _rows(cell: FinishedCell) -> list[dict[str, object]]:
    return [
        {"seed": cell.names.seed, "cell_id": cell.names.cell_id, **_row(number, log)}
        for number, log in enumerate(cell.rounds)
        if log.annotated is not None and log.validation
    ]


def _row(number: int, log: RoundRecord) -> dict[str, object]:
    charged = log.charged.get("teacher", NOTHING)
    [(metric, value), *_] = log.validation.items()
    return {
        "round": number,
        "questions": log.annotated,
        "calls": charged.calls,
        "prompt_tokens": charged.prompt_tokens,
        "completion_tokens": charged.completion_tokens,
        "tokens": charged.prompt_tokens + charged.completion_tokens,
        "usd": charged.usd,
        "metric": metric,
        "value": value,
        "optimiser_steps": log.optimiser_steps,
        **{f"note_{name}": count for name, count in sorted(log.notes.items())},
    }


def curve_points(frame: pd.DataFrame, cost: str) -> dict[int, Sequence[tuple[float, float]]]:
    """Seed -> the (cost, value) points of one method's curve; `cost` is a column, such as `questions` or `tokens`."""
    curves: dict[int, Sequence[tuple[float, float]]] = {}
    for _, rows in frame.sort_values("round").groupby("seed"):
        points = zip(rows[cost].astype(float), rows["value"].astype(float), strict=True)
        curves[int(rows["seed"].iloc[0])] = list(points)
    return curves
