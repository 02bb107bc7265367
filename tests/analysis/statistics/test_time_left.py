"""The time that a sweep will still take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.records.load import FinishedCell, load_records
from analysis.statistics.time_left import seconds_left
from benchmark.records.schema import CellNames
from tests.analysis.record_files import make_record, write_record


def finished(results: Path, *seconds: tuple[str, float | None]) -> list[FinishedCell]:
    for seed, (method, took) in enumerate(seconds):
        write_record(results, make_record(method, seed=seed, seconds=took))
    return list(load_records(results).complete)


def cell(method: str, seed: int = 9) -> CellNames:
    record: Any = make_record(method, seed=seed)
    return CellNames(**{name: record[name] for name in CellNames.model_fields})


def test_alike_cells_last_alike_and_others_as_long_as_the_mean(results: Path) -> None:
    known = finished(results, ("elad", 100.0), ("elad", 140.0), ("srd", 30.0))
    assert seconds_left(known, [cell("elad")], {}, 0.0) == pytest.approx(120)
    assert seconds_left(known, [cell("elad"), cell("new")], {}, 0.0) == pytest.approx(120 + 90)


def test_what_is_done_of_running_cells_counts_and_they_share_the_rest(results: Path) -> None:
    known = finished(results, ("elad", 100.0))
    one, two, three = (cell("elad", seed) for seed in (7, 8, 9))
    at_work = {one.cell_id: 1_000.0, two.cell_id: 940.0}
    assert seconds_left(known, [one, two, three], at_work, now=1_030.0) == pytest.approx((70 + 10 + 100) / 2)
    assert seconds_left(known, [one, two], at_work, now=9_999.0) == 0.0  # later than expected


def test_without_a_known_time_nothing_is_said(results: Path) -> None:
    assert seconds_left(finished(results, ("elad", None)), [cell("elad")], {}, 0.0) is None
