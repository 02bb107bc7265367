"""The cells whose students this cell uses (as a mentor or a teacher): their ids and what they were charged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark.records.catalog import RECORD
from benchmark.records.schema import CompleteRecord, Prerequisite, read_record


def prerequisites(paths: Mapping[str, str | None]) -> tuple[Prerequisite, ...]:
    """One row per path that is the `student/` folder of a finished cell.

    `paths` maps slots to paths, as `Cell.model_paths` does.

    Raises:
        RecordError: the record beside such a folder cannot be used.
    """
    found = []
    for slot, path in paths.items():
        file = Path(path).parent / RECORD if path else None
        if file is not None and Path(str(path)).name == "student" and file.is_file():
            record = read_record(file)
            charged = record.charged if isinstance(record, CompleteRecord) else {}
            found.append(Prerequisite(slot=slot, cell_id=record.cell_id, charged=charged))
    return tuple(found)
