"""Tidy data frames of finished cells: one row per thing, each row with the names of its cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from analysis.records.load import FinishedCell, Problem
from benchmark.records.schema import NOTHING, LedgerEntry, TestScore

NAMES = ("cell_id", "method", "dataset", "student", "teacher", "seed")
"""The columns that every frame begins with."""
BOOKS = ("charged", "spent", "computed")


def names_of(cell: FinishedCell) -> dict[str, Any]:
    """The cell's values of `NAMES`."""
    return {name: getattr(cell.names, name) for name in NAMES}


def cells_frame(cells: Sequence[FinishedCell]) -> pd.DataFrame:
    """One row per cell: its own test score, costs, budget, steps and times; `NAME` of a phase in `seconds_NAME`."""
    return _frame(cells, lambda cell: [_cell_row(cell)])


def tests_frame(cells: Sequence[FinishedCell]) -> pd.DataFrame:
    """One row per cell and test set."""
    return _frame(cells, lambda cell: [_test_row(test) for test in cell.tests])


def rounds_frame(cells: Sequence[FinishedCell]) -> pd.DataFrame:
    """One row per cell and finished round, counted from 0: questions so far, steps, validation, and `note_NAME`."""
    return _frame(cells, _round_rows)


def ledger_frame(cells: Sequence[FinishedCell]) -> pd.DataFrame:
    """One row per cell, round, book of `BOOKS` and source; running totals from the cell's start."""
    return _frame(cells, _ledger_rows)


def table_frame(
    cells: Sequence[FinishedCell], file_name: str, columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, list[Problem]]:
    """(the rows of all cells' Parquet files of that name, the files that could not be read).

    Args:
        cells: finished cells; one without the file adds no row.
        file_name: such as `predictions.parquet`.
        columns: the columns to read beside `NAMES`; None reads all.
    """
    frames, problems = [], []
    for cell in cells:
        path = cell.folder / file_name
        if not path.is_file():
            continue
        try:
            frames.append(_with_names(cell, read_parquet(path, columns)))
        except TableError as error:
            problems.append(Problem(path, str(error)))
    return (pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(NAMES))), problems


class TableError(Exception):
    """A Parquet file that cannot be used; the message is one line."""


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The file's rows. Raises TableError if it is no Parquet file or lacks a column."""
    try:
        with pq.ParquetFile(path) as file:  # half of the time of pandas for a small file
            lacking = [name for name in columns or () if name not in file.schema_arrow.names]
            if not lacking:
                frame: pd.DataFrame = file.read(None if columns is None else list(columns)).to_pandas()
                return frame
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are ValueErrors or KeyErrors
        reason = " ".join(str(error).split())
        raise TableError(
            f"cannot be read ({reason}); restore it, or move the cell's folder away and run it again"
        ) from error
    raise TableError(f"has no column {lacking[0]!r}; run the cell again, or move its folder away")


def _frame(cells: Iterable[FinishedCell], rows: Callable[[FinishedCell], list[dict[str, Any]]]) -> pd.DataFrame:
    found = [names_of(cell) | row for cell in cells for row in rows(cell)]
    return pd.DataFrame(found) if found else pd.DataFrame(columns=list(NAMES))


def _with_names(cell: FinishedCell, rows: pd.DataFrame) -> pd.DataFrame:
    named = pd.DataFrame({name: [value] * len(rows) for name, value in names_of(cell).items()}, index=rows.index)
    return pd.concat([named, rows.drop(columns=[name for name in NAMES if name in rows])], axis=1)


def _cell_row(cell: FinishedCell) -> dict[str, Any]:
    own = cell.tests[0]
    charged, spent = cell.charged.get("teacher", NOTHING), cell.spent.get("teacher", NOTHING)
    return {
        "data_seed": cell.data_seed,
        **{name: value for name, value in _test_row(own).items() if name != "test_dataset"},
        "teacher_value": None if cell.teacher_reference is None else cell.teacher_reference.value,
        "uses_gold": cell.uses_gold,
        **{f"budget_{name}": getattr(cell.budget, name) for name in ("questions", "calls", "tokens", "usd")},
        **{f"teacher_{name}": value for name, value in _entry(charged).items()},
        "teacher_usd_spent": spent.usd,
        "cost_estimated": cell.cost_estimated,
        **{f"human_{name}": getattr(cell.charged.get("human", NOTHING), name) for name in ("questions", "usd")},
        "student_steps": cell.train.final_student_steps,
        "all_steps": cell.train.optimiser_steps,
        "training_tokens": cell.train.tokens,
        "training_flops": cell.train.flops,
        "peak_memory_bytes": cell.train.peak_memory_bytes,
        "learning_rate": setting(cell, "optimization.learning_rate"),
        **{f"seconds_{name}": seconds for name, seconds in cell.seconds_by_phase.items()},
        "folder": str(cell.folder),
    }


def setting(cell: FinishedCell, key: str) -> Any:
    """The value of a setting, such as `optimization.learning_rate`; None where the cell has none."""
    text = cell.settings.get(key)
    return None if text is None else json.loads(text)


def _test_row(test: TestScore) -> dict[str, Any]:
    return {
        "test_dataset": test.dataset,
        "metric": test.metric,
        "value": test.value,
        "test_examples": test.n,
        "truncated_answers": test.truncated_answers,
        "completion_tokens_per_answer": test.completion_tokens_per_answer,
        "seconds_per_answer": test.seconds_per_answer,
        "latency_p50_seconds": test.latency_p50_seconds,
        "latency_p95_seconds": test.latency_p95_seconds,
        "reasoning_accuracy": test.reasoning_accuracy,
    }


def _round_rows(cell: FinishedCell) -> list[dict[str, Any]]:
    return [
        {
            "round": number,
            "annotated": log.annotated,
            "optimiser_steps": log.optimiser_steps,
            **{f"validation_{metric}": value for metric, value in log.validation.items()},
            **{f"note_{name}": count for name, count in log.notes.items()},
        }
        for number, log in enumerate(cell.rounds)
    ]


def _ledger_rows(cell: FinishedCell) -> list[dict[str, Any]]:
    return [
        {"round": number, "book": book, "source": source, **_entry(entry)}
        for number, log in enumerate(cell.rounds)
        for book in BOOKS
        for source, entry in _book(log, book).items()
    ]


def _book(log: Any, book: str) -> Mapping[str, LedgerEntry]:
    entries: Mapping[str, LedgerEntry] = getattr(log, book)
    return entries


def _entry(entry: LedgerEntry) -> dict[str, Any]:
    names = ("questions", "calls", "prompt_tokens", "completion_tokens", "usd")
    return {name: getattr(entry, name) for name in names}
