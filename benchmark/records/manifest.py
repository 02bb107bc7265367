"""Writes which cells a sweep wants, so that a missing cell can be told from an unwanted one, and finds it again."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path

from benchmark.records.schema import CellNames, Manifest

MANIFESTS = ".manifests"
"""The folder of manifests in a results folder."""


def write_manifest(results: Path, cells: Sequence[CellNames], started: datetime.datetime) -> None:
    """Writes the manifest of the sweep that this process started then; the file appears whole or not at all.

    It replaces the manifest that the same sweep wrote before it knew all of its cells.
    """
    folder = results / MANIFESTS
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{started.strftime('%Y%m%dT%H%M%S%f')}-{os.getpid()}"
    partial = folder / f".{name}"
    manifest = Manifest(created=started.isoformat(), cells=tuple(cells))
    partial.write_text(json.dumps(manifest.as_json(), indent=1), encoding="utf-8")
    partial.replace(folder / f"{name}.json")


def sweep_of(results: Path, cell_id: str) -> str | None:
    """The name of the manifest of the first sweep that wanted a cell; None where no sweep did.

    The first one, so that a cell keeps its sweep when the command is issued again.
    """
    manifests = sorted((results / MANIFESTS).glob("*.json"))
    return next((path.stem for path in manifests if f'"{cell_id}"' in path.read_text(encoding="utf-8")), None)
