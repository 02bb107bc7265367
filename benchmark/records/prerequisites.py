"""The cells whose students this cell uses (as a mentor or a teacher): their ids and what they were charged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from benchmark.errors import ModelError
from benchmark.records.catalog import RECORD
from benchmark.records.schema import Prerequisite, RecordError, read_json_object


def prerequisites(paths: Mapping[str, str | None]) -> tuple[Prerequisite, ...]:
    """One row per path that is the `student/` folder of a finished cell.

    `paths` maps slots to paths, as `Cell.model_paths` does.

    Only the id and the last round's cost are read, so that a record of any version will do.

    Raises:
        ModelError: the record beside such a folder cannot be read.
    """
    found = []
    for slot, path in paths.items():
        file = Path(path).parent / RECORD if path else None
        if file is not None and Path(str(path)).name == "student" and file.is_file():
            found.append(_prerequisite(slot, file))
    return tuple(found)


def _prerequisite(slot: str, file: Path) -> Prerequisite:
    try:
        record = read_json_object(file)
        rounds = record.get("rounds") or [{}]
        return Prerequisite.model_validate(
            {"slot": slot, "cell_id": record["cell_id"], "charged": rounds[-1].get("charged", {})}
        )
    except (RecordError, KeyError, AttributeError, ValidationError) as error:
        line = " ".join(str(error).split())
        raise ModelError(
            f"{slot}: the model lies in a cell's folder, and {file} does not say what that cell cost ({line}); restore "
            "the record, or move the model to another folder"
        ) from error
