"""Everything under some results folders, as data frames for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.records.frames import cells_frame, ledger_frame, rounds_frame, table_frame, tests_frame
from analysis.records.load import Problem, Records, load_records


class Results:
    """The records of some results folders, and their tables, read when they are asked for.

    Every frame begins with `cell_id`, `method`, `dataset`, `student`, `teacher` and `seed`. Shares lie in [0, 1], times
    are seconds, prices US dollars. docs/reading-results.md explains the columns.
    """

    def __init__(self, records: Records) -> None:
        self.records = records
        self.problems: list[Problem] = list(records.problems)
        """The files that were skipped so far, and why."""

    @property
    def cells(self) -> pd.DataFrame:
        """One row per finished cell: its own test score, costs, budget, steps and times."""
        return cells_frame(self.records.complete)

    @property
    def tests(self) -> pd.DataFrame:
        """One row per finished cell and test set."""
        return tests_frame(self.records.complete)

    @property
    def rounds(self) -> pd.DataFrame:
        """One row per finished cell and round."""
        return rounds_frame(self.records.complete)

    @property
    def ledger(self) -> pd.DataFrame:
        """One row per finished cell, round, book and source, with running totals."""
        return ledger_frame(self.records.complete)

    def predictions(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per finished cell and question of its own test set."""
        return self._table("predictions.parquet", columns)

    def annotations(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per finished cell and bought annotation."""
        return self._table("annotations.parquet", columns)

    def picks(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per finished cell, round and question that a selection ranked."""
        return self._table("picks.parquet", columns)

    def stages(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per finished cell, round and stage of its curriculum."""
        return self._table("stages.parquet", columns)

    def explanations(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per finished cell and explained test question."""
        return self._table("explanations.parquet", columns)

    def _table(self, file_name: str, columns: Sequence[str] | None) -> pd.DataFrame:
        frame, problems = table_frame(self.records.complete, file_name, columns)
        self.problems += problems
        return frame


def load_results(*folders: str | Path) -> Results:
    """The records of all cells in the results folders.

    Raises:
        ResultsError: a folder is none, or one cell has different results in two of them.
    """
    return Results(load_records(*(Path(folder).expanduser() for folder in folders)))
