"""Complete, failed, damaged and missing cells."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from filelock import FileLock

from analysis.commands.app import main
from analysis.output.status import Status, build_status, status_json, status_text
from analysis.records.load import load_records
from tests.analysis.record_files import make_record, write_manifest, write_record, write_small_sweep


def status_of(results: Path) -> Status:
    return build_status(load_records(results))


def test_planned_cells_without_a_record_are_missing(results: Path) -> None:
    records = write_small_sweep(results)
    absent = make_record("elad", seed=4)
    write_manifest(results, [*records, absent])
    status = status_of(results)
    assert [cell.cell_id for cell in status.missing] == [absent["cell_id"]]
    text = status_text(status)
    assert "14 cells: 12 complete, 1 failed, 1 missing" in text
    assert absent["cell_id"][:8] in text
    assert "the loss became NaN at step 12" in text


def test_a_damaged_record_is_not_missing(results: Path) -> None:
    record = make_record("elad")
    write_record(results, record).write_text("{")
    write_manifest(results, [record])
    status = status_of(results)
    assert (status.states, status.missing) == ({record["cell_id"]: "damaged"}, [])
    assert "1 damaged" in status_text(status)


def test_sweeps_are_counted_apart_and_their_cells_once(results: Path) -> None:
    first, second = make_record("elad"), make_record("srd")
    write_record(results, first)
    write_manifest(results, [first, first], "2026-11-20T10:00:00")
    write_manifest(results, [first, second], "2026-11-21T10:00:00")
    text = status_text(status_of(results))
    assert "sweep of 2026-11-20T10:00:00: 1 cells: 1 complete" in text
    assert "sweep of 2026-11-21T10:00:00: 2 cells: 1 complete, 0 failed, 1 missing" in text
    assert "2 cells: 1 complete, 0 failed, 1 missing" in text.splitlines()[0]


def test_without_a_manifest_it_says_that_missing_cells_cannot_be_known(results: Path) -> None:
    write_record(results, make_record("elad"))
    assert "cannot be known" in status_text(status_of(results))


def test_a_damaged_manifest_is_named(results: Path) -> None:
    path = write_manifest(results, [])
    path.write_text('{"created": "now", "cells": [{"cell_id": "a"}]}')
    (problem,) = status_of(results).problems
    assert (problem.path, "lacks cells[0].method" in problem.message) == (path, True)


def test_json_names_every_cell_with_its_state(results: Path) -> None:
    records = write_small_sweep(results)
    content = json.loads(json.dumps(status_json(status_of(results))))
    assert {cell["cell_id"]: cell["state"] for cell in content["cells"]} == {r["cell_id"]: r["status"] for r in records}
    assert content["counts"] == {"complete": 12, "failed": 1, "damaged": 0, "running": 0, "missing": 0}


def test_a_cell_whose_lock_is_held_is_running_and_the_time_left_is_said(results: Path) -> None:
    done, running, absent = (make_record("elad", seed=seed, seconds=600.0) for seed in (1, 2, 3))
    write_record(results, done)
    write_manifest(results, [done, running, absent])
    (results / running["cell_id"]).mkdir()
    with FileLock(results / ".locks" / f"{running['cell_id']}.lock"):
        status = status_of(results)
    text = status_text(status)
    assert "3 cells: 1 complete, 0 failed, 1 running, 1 missing" in text.splitlines()[0]
    assert "Time left: about 20 min (1 at once, as now)." in text
    assert "no process is writing" not in text
    again = status_text(status_of(results))
    assert "3 cells: 1 complete, 0 failed, 2 missing" in again
    assert "one after the other; none is running" in again
    assert f"no process is writing: {running['cell_id']}" in again


def test_watch_looks_until_nothing_is_missing(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_record("elad", seed=1), make_record("elad", seed=2)
    write_record(results, first)
    write_manifest(results, [first, second])
    waits: list[float] = []

    def finish_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        write_record(results, second)

    monkeypatch.setattr(time, "sleep", finish_meanwhile)
    assert main(["status", "--results", str(results), "--watch"]) == 0
    text = capsys.readouterr().out
    assert waits == [5.0]
    assert "2 cells: 1 complete, 0 failed, 1 missing" in text
    assert "2 cells: 2 complete, 0 failed, 0 missing" in text


def test_many_missing_cells_are_counted(results: Path) -> None:
    records = [make_record("elad", seed=seed) for seed in range(30)]
    write_manifest(results, records)
    text = status_text(status_of(results))
    assert "and 10 more; --json names all" in text
    assert len(status_json(status_of(results))["cells"]) == 30
