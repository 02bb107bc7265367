"""Reads `explanations.parquet`: what a finished cell's student wrote when it was asked to explain test questions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.records.frames import TableError, read_parquet
from analysis.records.load import ResultsError

EXPLANATIONS = "explanations.parquet"
HOW_TO_EXPLAIN = "run `python -m benchmark explain RESULTS/CELL` for it first"
NEEDED = ("example_id", "question", "context", "choices", "answer", "correct", "explanation")


def explained_rows(cell: Path) -> pd.DataFrame | None:
    """One row per explained test question, by its id, from a cell's folder; None if the cell explained nothing.

    Raises ResultsError, which names the file, where `explanations_in` cannot read it.
    """
    path = cell / EXPLANATIONS
    if not path.is_file():
        return None
    try:
        return explanations_in(path)
    except TableError as error:
        raise ResultsError(f"{path}: {error}") from error


def explanations_in(path: Path) -> pd.DataFrame:
    """One row per explained test question, by its id.

    Raises TableError for a file that is damaged, or of an older version, which lacks columns.
    """
    frame = read_parquet(path)
    lacking = [name for name in NEEDED if name not in frame.columns]
    if lacking:
        raise TableError(
            f"is from an older version and has no column {lacking[0]!r}: move it away, and {HOW_TO_EXPLAIN}"
        )
    return frame.set_index("example_id")


def is_missing(value: object) -> bool:
    """Whether a value of the table stands for nothing."""
    return value is None or (isinstance(value, float) and value != value)
