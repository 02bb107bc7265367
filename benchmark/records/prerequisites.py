"""The cells whose students this cell uses (as a mentor or a teacher): their ids and what they were charged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.records.catalog import RECORD


def prerequisites(paths: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """One row per path that is the `student/` folder of a finished cell: `slot`, `cell_id`, and `charged` of that cell.

    `paths` maps slots to paths, as `Cell.model_paths` does.
    """
    found = []
    for slot, path in paths.items():
        record = Path(path).parent / RECORD if path else None
        if record is not None and Path(str(path)).name == "student" and record.is_file():
            known = json.loads(record.read_text(encoding="utf-8"))
            rounds = known.get("rounds") or [{}]
            found.append({"slot": slot, "cell_id": known["cell_id"], "charged": rounds[-1].get("charged", {})})
    return found
