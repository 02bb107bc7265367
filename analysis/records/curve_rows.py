"""The curve of a finished cell: the rows that its logger got, also those that an older logger was not given."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from benchmark.records.schema import CompleteRecord, final_metrics, round_metrics

Row = Mapping[str, float]
"""Numbers that belong together, by name, with `step` and, except for the test's, `round`."""


def curve_rows(folder: Path, record: CompleteRecord) -> list[Row]:
    """What was logged into `log/metrics.csv`, then by step and round what the record knows besides.

    Without that file the curve has the ends of the rounds and the test alone.
    """
    rows = {_what(row): row for row in (*_logged(folder / "log" / "metrics.csv"), *_recorded(record))}
    return sorted(rows.values(), key=_place)


def _what(row: Row) -> tuple[float, float, frozenset[str]]:
    return (*_place(row), frozenset(row))


def _place(row: Row) -> tuple[float, float]:
    """Step and round; the test has no round, and comes last."""
    return row["step"], row.get("round", math.inf)


def _logged(path: Path) -> Iterator[Row]:
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {name: float(value) for name, value in row.items() if value}


def _recorded(record: CompleteRecord) -> Iterator[Row]:
    for step, each in zip(_last_steps(record), record.rounds, strict=True):
        if each.validation:
            yield {f"validation/{name}": value for name, value in each.validation.items()} | {
                "step": step,
                "round": each.index,
            }
        yield {"step": step, **round_metrics(each)}
    yield {"step": record.train.optimiser_steps, **final_metrics(record)}


def _last_steps(record: CompleteRecord) -> list[int]:
    """The step at which each round ended; equal shares of all steps where an older record does not tell."""
    steps = [each.optimiser_steps for each in record.rounds]
    known = [each for each in steps if each is not None]
    if len(known) == len(steps):
        return list(accumulate(known))
    return [record.train.optimiser_steps * number // len(steps) for number in range(1, len(steps) + 1)]
