"""The curves of a cell: what every attempt at it logged, joined as if one attempt had logged all."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

METRICS = "log/metrics.csv"
Row = Mapping[str, str]
"""What was logged at once: numbers by name, as the file has them, with `step` and, except at the end, `round`."""


def joined(attempts: Iterable[Path]) -> list[Row]:
    """The rows of all attempts in the order of the curves; of rows that were logged again, the later attempt's.

    A round may log the same things at the same step as the one before: its first validation, of a student that
    restarted. So rows of different rounds are different rows.
    """
    rows = {_what(row): row for attempt in sorted(attempts) for row in _rows(attempt / METRICS)}
    return sorted(rows.values(), key=_place)


def before(earlier: Sequence[Row], row: Row) -> list[Row]:
    """The rows of earlier attempts that a new attempt, whose first row is `row`, does not log again."""
    return list(takewhile(lambda known: _what(known) != _what(row) and _place(known) <= _place(row), earlier))


def gather(attempts: Path, folder: Path) -> None:
    """Copies the logs of all attempts into the cell's folder, and joins their curves.

    Of their W&B runs it keeps the last one, which holds the curves of all: they share one id, and of two that are
    uploaded the later upload would win.
    """
    every = sorted(attempts.iterdir())
    for attempt in every:
        shutil.copytree(attempt, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("wandb"))
    for run in every[-1].glob("wandb/*run-*"):
        # W&B goes on writing for a while: a moved folder takes its open files along, a copy would be cut short.
        (folder / "wandb").mkdir(exist_ok=True)
        run.rename(folder / "wandb" / run.name)
    if rows := joined(every):
        _write(folder / METRICS, rows)


def _what(row: Row) -> tuple[float, float, frozenset[str]]:
    return (*_place(row), frozenset(row))


def _place(row: Row) -> tuple[float, float]:
    """Step and round; what is logged without a round comes after all rounds."""
    return float(row["step"]), float(row.get("round", math.inf))


def _rows(path: Path) -> list[Row]:
    """The rows of a CSV file that have a step, without empty fields; empty if there is no file.

    A last line without an end is left out: its process died while it wrote.
    """
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(whole.splitlines())]
    return [row for row in rows if "step" in row]


def _write(path: Path, rows: Sequence[Row]) -> None:
    names = sorted({name for row in rows for name in row})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
