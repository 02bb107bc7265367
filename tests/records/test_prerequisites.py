"""A model in the folder of a finished cell: its record is read whatever its version, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import ConfigError
from benchmark.records.prerequisites import prerequisites


@pytest.fixture
def cell_folder(tmp_path: Path) -> Callable[[Any], str]:
    def of(record: Any) -> str:
        (tmp_path / "student").mkdir()
        (tmp_path / "record.json").write_text(record if isinstance(record, str) else json.dumps(record))
        return str(tmp_path / "student")

    return of


ENTRY = {"calls": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": 0.5, "questions": 1}


def test_only_the_id_and_the_cost_are_read(cell_folder: Callable[[Any], str]) -> None:
    path = cell_folder({"cell_id": "abc", "rounds": [{"charged": {}}, {"charged": {"teacher": ENTRY}}], "seed": "odd"})
    [known] = prerequisites({"assistant": path, "student": None})
    assert (known.slot, known.cell_id) == ("assistant", "abc")
    assert known.charged["teacher"].as_json() == ENTRY


def test_a_cell_that_never_trained_cost_nothing(cell_folder: Callable[[Any], str]) -> None:
    [known] = prerequisites({"student": cell_folder({"cell_id": "abc", "rounds": []})})
    assert known.charged == {}


@pytest.mark.parametrize(
    "record", ["{", "[]", {"rounds": []}, {"cell_id": 5}, {"cell_id": "a", "rounds": [3]}], ids=repr
)
def test_a_record_that_says_nothing_is_refused_with_its_place(record: Any, cell_folder: Callable[[Any], str]) -> None:
    path = cell_folder(record)
    with pytest.raises(ConfigError, match=r"assistant: the model lies in a cell's folder, and .*record.json"):
        prerequisites({"assistant": path})
