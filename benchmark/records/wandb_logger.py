"""Lightning's W&B logger for a whole cell: all rounds and all attempts in one run, and the examples of the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from benchmark.records.curves import Row, before
from benchmark.records.tracking import EXAMPLE_COLUMNS, EXAMPLES_TABLE


class WandbCellLogger(WandbLogger):
    """Logs a cell into a W&B run that has just begun.

    A cell that was stopped goes on from its last checkpoint. What earlier attempts logged up to there is logged first,
    so that the run has the whole curve, and its step never goes back.
    """

    def __init__(self, run: Any, earlier: Sequence[Row], examples: int) -> None:
        super().__init__(experiment=run)
        self._earlier = earlier
        self._examples = examples

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs numbers by name at an optimiser step of the cell, counted over all rounds."""
        if self._earlier:
            self._log_again(before(self._earlier, _as_row(metrics, step)))
        super().log_metrics(metrics, step)

    def address(self) -> str | None:
        """The run's page at W&B; None if the run is offline."""
        return None if self.experiment.offline else self.experiment.url

    def show_examples(self, folder: Path, step: int) -> None:
        """Logs a table of the first test questions, which are the same for all cells of a dataset."""
        if not self._examples:
            return
        import pandas as pd

        table = pd.read_parquet(folder / "predictions.parquet", columns=list(EXAMPLE_COLUMNS)).head(self._examples)
        rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
        self.log_table(EXAMPLES_TABLE, columns=list(EXAMPLE_COLUMNS), data=rows, step=step)

    def close(self, failed: bool) -> None:
        """Ends the run, which W&B then shows as finished or as failed."""
        self._log_again(self._earlier)
        self.experiment.finish(exit_code=int(failed))

    def _log_again(self, rows: Sequence[Row]) -> None:
        self._earlier = ()
        for row in rows:
            numbers = {name: float(value) for name, value in row.items() if name != "step"}
            super().log_metrics(numbers, int(float(row["step"])))


def _as_row(metrics: Mapping[str, float], step: int | None) -> Row:
    return {name: str(value) for name, value in {**metrics, "step": step}.items()}
