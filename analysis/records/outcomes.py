"""What a student scored on each test question, from the predictions beside its record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.records.frames import TableError, read_parquet
from analysis.records.load import FinishedCell, Problem
from benchmark.records.schema import TestScore

COLUMNS = ("example_id", "correct", "grade")
LARGEST_ROUNDING = 1e-6


class OutcomeFiles:
    """Reads the outcomes of cells, each file once; `problems` names the ones that cannot be read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._known: dict[tuple[str, str, str], Mapping[str, float] | None] = {}

    def of(self, cell: FinishedCell, test: TestScore) -> Mapping[str, float] | None:
        """Question id -> 0 or 1, or the grade in [0, 1] of a graded task; their mean is the record's score.

        None where the file is missing or cannot be read, or where its mean is not the score.
        """
        key = cell.names.cell_id, test.dataset, test.metric
        if key not in self._known:
            try:
                self._known[key] = _outcomes(cell, test)
            except TableError as error:
                self._known[key] = None
                self.problems.append(Problem(predictions_path(cell, test), str(error)))
        return self._known[key]


def _outcomes(cell: FinishedCell, test: TestScore) -> Mapping[str, float] | None:
    path = predictions_path(cell, test)
    if not path.is_file():
        return None
    rows = read_parquet(path, COLUMNS)
    values = rows["grade"] if rows["grade"].notna().all() else rows["correct"]
    if rows.empty or not values.notna().all() or not rows["example_id"].is_unique:
        return None
    found = dict(zip(rows["example_id"].astype(str), values.astype(float), strict=True))
    return found if abs(sum(found.values()) / len(found) - test.value) < LARGEST_ROUNDING else None


def predictions_path(cell: FinishedCell, test: TestScore) -> Path:
    """Where the predictions on a test set lie: the cell's own, or one of `evaluation.extra`."""
    name = "predictions" if test is cell.tests[0] else f"predictions-{test.dataset}"
    return cell.folder / f"{name}.parquet"
