"""Writes which cells a sweep wants, so that a missing cell can be told from an unwanted one."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path

from benchmark.records.schema import CellNames, Manifest


def write_manifest(results: Path, cells: Sequence[CellNames]) -> None:
    """Adds a manifest of this moment to `<results>/.manifests`; the file appears whole or not at all."""
    folder = results / ".manifests"
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    name = f"{now.strftime('%Y%m%dT%H%M%S%f')}-{os.getpid()}"
    partial = folder / f".{name}"
    manifest = Manifest(created=now.isoformat(), cells=tuple(cells))
    partial.write_text(json.dumps(manifest.as_json(), indent=1), encoding="utf-8")
    partial.rename(folder / f"{name}.json")
