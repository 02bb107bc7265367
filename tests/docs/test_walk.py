"""The walk through the code names files and things that are there, and shows what really comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cells import composed_cell

REPOSITORY = Path(__file__).resolve().parents[2]
WALK = (REPOSITORY / "docs" / "walk.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:benchmark|analysis|conf|docs|methods)/[\w/.-]+\.\w+)`", WALK)))
NAMED_IN = re.findall(r"`([\w.]+)` in\s+`([\w/]+\.py)`", WALK) + re.findall(r"`([A-Z]\w+)` in\s+`([\w/]+\.py)`", WALK)


@pytest.mark.parametrize("path", PATHS)
def test_a_file_on_the_way_is_there(path: str) -> None:
    assert (REPOSITORY / path).is_file()


@pytest.mark.parametrize(("name", "path"), sorted(set(NAMED_IN)))
def test_a_thing_on_the_way_is_where_the_walk_says(name: str, path: str) -> None:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    for part in name.split("."):
        assert re.search(rf"(class|def) {part}\b", text), f"{part} is not in {path}"


def test_the_question_is_the_one_that_the_generator_makes() -> None:
    """The walk follows a real question, with the answer and the reasoning that it really has."""
    cell = composed_cell()
    rows = {row.id: row for row in cell.dataset.load().pool}
    row = rows["chain_sum-pool-01378"]
    for shown in (row.question, row.answer, str(row.rationale)):
        assert repr(shown) in WALK
    assert {"benchmark/corridor.py", "benchmark/student/batch.py", "analysis/output/tables.py"} <= {
        *PATHS,
        *re.findall(r"`([\w/]+\.py)`", WALK),
    }
    assert len(rows) == 2000
