"""The state of a results folder: which cells are complete, failed, damaged or missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.output.render import FAILED_COLUMNS, failed_rows, identity_row, markdown_table
from analysis.records.load import Identity, Problem, RecordError, Records, parse_identity, read_json_object, take
from analysis.records.record_ids import short_ids

STATES = ("complete", "failed", "damaged", "missing")


@dataclass(frozen=True)
class Manifest:
    """What one sweep set out to run."""

    name: str
    created: str
    cells: tuple[Identity, ...]


@dataclass(frozen=True)
class Status:
    """Every known cell's state, from the records and the manifests."""

    results: Path
    records: Records
    manifests: tuple[Manifest, ...]
    states: Mapping[str, str]
    problems: tuple[Problem, ...]

    @property
    def known(self) -> dict[str, Identity]:
        """What is known of each cell, by id; a damaged record that no manifest names is not among them."""
        planned = {cell.cell_id: cell for manifest in self.manifests for cell in manifest.cells}
        return planned | {identity.cell_id: identity for identity in self.records.identities}

    @property
    def missing(self) -> list[Identity]:
        """The planned cells without a record, in a readable order."""
        return sorted((c for i, c in self.known.items() if self.states[i] == "missing"), key=_reading_order)


def _reading_order(cell: Identity) -> tuple[str, str, str, str, int, str]:
    return cell.dataset, cell.student, cell.teacher or "", cell.method, cell.seed, cell.cell_id


def load_manifests(results: Path) -> tuple[list[Manifest], list[Problem]]:
    """The sweep manifests under `results/.manifests`, oldest first, and the files that could not be used."""
    manifests, problems = [], []
    for path in sorted((results / ".manifests").glob("*.json")):
        try:
            manifests.append(_parse_manifest(path))
        except RecordError as error:
            problems.append(Problem(path, str(error)))
    return sorted(manifests, key=lambda manifest: (manifest.created, manifest.name)), problems


def _parse_manifest(path: Path) -> Manifest:
    content = read_json_object(path)
    cells = take(content, "cells", list)
    if not all(isinstance(cell, dict) for cell in cells):
        raise RecordError("cells holds something else than objects")
    return Manifest(path.stem, take(content, "created", str), tuple(parse_identity(cell) for cell in cells))


def build_status(results: Path, records: Records) -> Status:
    """The state of every cell that a record or a manifest names."""
    manifests, problems = load_manifests(results)
    states = {cell.cell_id: "missing" for manifest in manifests for cell in manifest.cells}
    states |= {problem.path.parent.name: "damaged" for problem in records.problems}
    states |= {cell.identity.cell_id: "failed" for cell in records.failed}
    states |= {cell.identity.cell_id: "complete" for cell in records.complete}
    return Status(results, records, tuple(manifests), states, (*records.problems, *problems))


def status_text(status: Status) -> str:
    """The state as text for a terminal."""
    ids = short_ids([*status.known, *status.states])
    parts = [f"{status.results}: {_counts(status.states.values())}"]
    parts += [_sweep_line(manifest, status) for manifest in status.manifests]
    if not status.manifests:
        parts.append("No sweep manifest: cells that were never started cannot be known.")
    if status.known:
        parts.append(_method_table(status))
    if status.records.failed:
        parts.append(f"Failed\n\n{markdown_table(FAILED_COLUMNS, failed_rows(status.records.failed, ids))}")
    if status.missing:
        rows = [identity_row(cell, ids) for cell in status.missing]
        parts.append(f"Missing\n\n{markdown_table(FAILED_COLUMNS[:-1], rows)}")
        parts.append("Re-issue the sweep's command: it runs only what is not complete.")
    if status.records.unfinished:
        names = ", ".join(folder.name for folder in status.records.unfinished)
        parts.append(f"Folders without record.json (running, or cut off): {names}")
    return "\n\n".join(parts) + "\n"


def _counts(states: Any) -> str:
    counted = Counter(states)
    shown = [f"{counted[state]} {state}" for state in STATES if counted[state] or state != "damaged"]
    return f"{counted.total()} cells: {', '.join(shown)}"


def _sweep_line(manifest: Manifest, status: Status) -> str:
    return f"sweep of {manifest.created}: {_counts(status.states[cell_id] for cell_id in _distinct_ids(manifest))}"


def _distinct_ids(manifest: Manifest) -> Sequence[str]:
    return list(dict.fromkeys(cell.cell_id for cell in manifest.cells))


def _method_table(status: Status) -> str:
    counts: dict[tuple[str, str, str, str], Counter[str]] = {}
    for cell_id, cell in status.known.items():
        label = (cell.dataset, cell.student, cell.teacher or "none", cell.method)
        counts.setdefault(label, Counter())[status.states[cell_id]] += 1
    rows = [[*label, *(str(counted[state]) for state in STATES)] for label, counted in sorted(counts.items())]
    return markdown_table(["dataset", "student", "teacher", "method", *STATES], rows)


def status_json(status: Status) -> dict[str, Any]:
    """The state as plain data: counts, every cell with its state, sweeps and problems."""
    errors = {cell.identity.cell_id: cell.error for cell in status.records.failed}
    cells = [
        {**asdict(cell), "state": status.states[cell.cell_id], "error": errors.get(cell.cell_id)}
        for cell in sorted(status.known.values(), key=_reading_order)
    ]
    return {
        "counts": {state: Counter(status.states.values())[state] for state in STATES},
        "cells": cells,
        "sweeps": [{"created": m.created, "name": m.name, "cell_ids": _distinct_ids(m)} for m in status.manifests],
        "unfinished": [folder.name for folder in status.records.unfinished],
        "problems": [str(problem) for problem in status.problems],
    }
