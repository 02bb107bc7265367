"""The state of a results folder: which cells are complete, failed, damaged or missing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.output.machine_texts import machine_lines, machines_json
from analysis.output.render import FAILED_COLUMNS, failed_rows, markdown_table, names_row
from analysis.records.at_work import cells_at_work
from analysis.records.load import Problem, Records, places
from analysis.records.manifests import StartedSweep, load_sweeps
from analysis.records.record_ids import short_ids
from analysis.statistics.time_left import seconds_left
from benchmark.records.schema import CellNames

STATES = ("complete", "failed", "damaged", "running", "missing")
MOST_MISSING = 20
"""So many missing cells are named one by one."""
SELDOM = frozenset({"damaged", "running"})
"""States that a line of counts leaves out while no cell is in them."""


@dataclass(frozen=True)
class Status:
    """Every known cell's state, from the records and the manifests."""

    records: Records
    """What was read."""
    sweeps: tuple[StartedSweep, ...]
    """The sweeps that were started."""
    states: Mapping[str, str]
    """Id of a cell -> one of `STATES`; a cell that failed and is run again is running."""
    seconds_left: float | None
    """How long the running and missing cells will take; None where nothing says so."""
    problems: tuple[Problem, ...]
    """The files that were skipped."""

    @property
    def known(self) -> dict[str, CellNames]:
        """What is known of each cell, by id; a damaged record that no manifest names is not among them."""
        planned = {cell.cell_id: cell for sweep in self.sweeps for cell in sweep.cells}
        return planned | {cell.cell_id: cell for cell in self.records.names}

    @property
    def missing(self) -> list[CellNames]:
        """The planned cells without a record, in a readable order."""
        return sorted((c for i, c in self.known.items() if self.states[i] == "missing"), key=_reading_order)


def _reading_order(cell: CellNames) -> tuple[str, str, str, str, int, str]:
    return cell.dataset, cell.student, cell.teacher or "", cell.method, cell.seed, cell.cell_id


def build_status(records: Records) -> Status:
    """The state of every cell that a record or a manifest of its folders names."""
    sweeps, problems = load_sweeps(*records.folders)
    states = {cell.cell_id: "missing" for sweep in sweeps for cell in sweep.cells}
    states |= {problem.path.parent.name: "damaged" for problem in records.problems}
    states |= {cell.names.cell_id: "failed" for cell in records.failed}
    at_work = {cell_id: begun for folder in records.folders for cell_id, begun in cells_at_work(folder).items()}
    states |= dict.fromkeys(at_work, "running")
    states |= {cell.names.cell_id: "complete" for cell in records.complete}
    planned = {cell.cell_id: cell for sweep in sweeps for cell in sweep.cells}
    waiting = [cell for cell_id, cell in planned.items() if states[cell_id] in ("running", "missing")]
    left = seconds_left(records.complete, waiting, at_work, time.time()) if waiting else None
    return Status(records, tuple(sweeps), states, left, (*records.problems, *problems))


def status_text(status: Status) -> str:
    """The state as text for a terminal."""
    ids = short_ids([*status.known, *status.states])
    parts = [f"{places(status.records)}: {_counts(status.states.values())}"]
    parts += [_sweep_line(sweep, status) for sweep in status.sweeps]
    if status.seconds_left is not None:
        at_once = Counter(status.states.values())["running"]
        how = f"{at_once} at once, as now" if at_once else "one after the other; none is running"
        parts.append(f"Time left: about {duration(status.seconds_left)} ({how}).")
    if not status.sweeps:
        parts.append("No sweep manifest: cells that were never started cannot be known.")
    if lines := list(machine_lines(status.records.complete)):
        parts.append("\n".join(lines))
    if status.known:
        parts.append(_method_table(status))
    if status.records.failed:
        parts.append(f"Failed\n\n{markdown_table(FAILED_COLUMNS, failed_rows(status.records.failed, ids))}")
    if status.missing:
        rows = [names_row(cell, ids) for cell in status.missing[:MOST_MISSING]]
        more = len(status.missing) - len(rows)
        parts.append(f"Missing\n\n{markdown_table(FAILED_COLUMNS[:-1], rows)}")
        parts += [f"and {more} more; --json names all"] if more else []
        parts.append("Re-issue the sweep's command: it runs only what is not complete.")
    cut_off = [folder.name for folder in status.records.unfinished if status.states.get(folder.name) != "running"]
    if cut_off:
        parts.append(f"Folders without record.json, which no process is writing: {', '.join(cut_off)}")
    return "\n\n".join(parts) + "\n"


def duration(seconds: float) -> str:
    """Seconds as text with one unit: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _counts(states: Any) -> str:
    counted = Counter(states)
    shown = [f"{counted[state]} {state}" for state in STATES if counted[state] or state not in SELDOM]
    return f"{counted.total()} cells: {', '.join(shown)}"


def _sweep_line(sweep: StartedSweep, status: Status) -> str:
    return f"sweep of {sweep.created}: {_counts(status.states[cell_id] for cell_id in sweep.cell_ids)}"


def _method_table(status: Status) -> str:
    counts: dict[tuple[str, str, str, str], Counter[str]] = {}
    for cell_id, cell in status.known.items():
        label = (cell.dataset, cell.student, cell.teacher or "none", cell.method)
        counts.setdefault(label, Counter())[status.states[cell_id]] += 1
    rows = [[*label, *(str(counted[state]) for state in STATES)] for label, counted in sorted(counts.items())]
    return markdown_table(["dataset", "student", "teacher", "method", *STATES], rows)


def status_json(status: Status) -> dict[str, Any]:
    """The state as plain data: counts, every cell with its state, sweeps and problems."""
    errors = {cell.names.cell_id: cell.error for cell in status.records.failed}
    cells = [
        {**_as_json(cell), "state": status.states[cell.cell_id], "error": errors.get(cell.cell_id)}
        for cell in sorted(status.known.values(), key=_reading_order)
    ]
    return {
        "counts": {state: Counter(status.states.values())[state] for state in STATES},
        "cells": cells,
        "sweeps": [{"created": s.created, "name": s.name, "cell_ids": s.cell_ids} for s in status.sweeps],
        "seconds_left": status.seconds_left,
        "machines": machines_json(status.records.complete),
        "unfinished": [folder.name for folder in status.records.unfinished],
        "problems": [str(problem) for problem in status.problems],
    }


def _as_json(cell: CellNames) -> dict[str, Any]:
    """The names that every manifest and record holds, without what only a newer one may hold."""
    return {name: getattr(cell, name) for name in CellNames.model_fields}
