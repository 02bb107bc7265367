"""Reads `<results>/.manifests/*.json`: what each sweep set out to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.records.load import Problem
from benchmark.records.schema import CellNames, RecordError, parse_manifest, read_json_object


@dataclass(frozen=True)
class StartedSweep:
    """A sweep that was started; `name` is that of its manifest, `created` the time in ISO 8601."""

    name: str
    created: str
    cells: Sequence[CellNames]

    @property
    def cell_ids(self) -> list[str]:
        """The ids of the cells, each once."""
        return list(dict.fromkeys(cell.cell_id for cell in self.cells))


def load_sweeps(*results: Path) -> tuple[list[StartedSweep], list[Problem]]:
    """The sweeps of the results folders, oldest first, and the manifests that could not be used."""
    sweeps, problems = [], []
    for path in (path for folder in results for path in sorted((folder / ".manifests").glob("*.json"))):
        try:
            manifest = parse_manifest(read_json_object(path))
        except RecordError as error:
            problems.append(Problem(path, str(error)))
            continue
        sweeps.append(StartedSweep(path.stem, manifest.created, manifest.cells))
    return sorted(sweeps, key=lambda sweep: (sweep.created, sweep.name)), problems
