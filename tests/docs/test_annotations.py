"""docs/annotations.md names every annotation on disk with its true calls, kinds and use of gold."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.app import CONF
from benchmark.planning.worst_case import annotation_context

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "annotations.md").read_text(encoding="utf-8")
ROWS = {
    name: (int(calls), frozenset(re.findall(r"`(\w+)`", kinds)), gold == "yes")
    for name, calls, kinds, gold in re.findall(r"^\| `(\w+)` \| (\d+) \| (.+?) \| (yes|no) \|", PAGE, re.MULTILINE)
}


def test_every_annotation_has_its_row() -> None:
    assert set(ROWS) == {path.stem for path in (CONF / "annotation").glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_says_what_the_annotation_says(name: str, cell: Callable[..., Any]) -> None:
    made = cell((f"annotation={name}", "dataset=trait_choice"))
    annotation, splits = made.method.annotation, made.dataset.load()
    planned = annotation.most_requests(splits.pool[0].without_gold(), annotation_context(made, splits))
    one_of = {request.branch.partition("/")[0]: request.samples for request in planned if request.branch}
    calls = sum(request.samples for request in planned if not request.branch) + sum(one_of.values())
    assert ROWS[name] == (calls, annotation.kinds, annotation.requires().gold)
