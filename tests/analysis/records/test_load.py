"""Damaged records are named, the rest is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.records.load import ResultsError, load_records
from analysis.records.record_ids import short_ids
from tests.analysis.record_files import Record, cost, make_record, write_record


def test_reads_complete_and_failed_cells(results: Path) -> None:
    write_record(results, make_record())
    write_record(results, make_record("elad", status="failed", error="two\nlines"))
    records = load_records(results)
    assert [cell.names.method for cell in records.complete] == ["rationale_then_answer"]
    assert [cell.error for cell in records.failed] == ["two lines"]
    assert records.problems == ()


def rounds_of(*questions: int) -> list[Record]:
    return [{"charged": {"teacher": cost(n, usd=n / 1000)}, "spent": {}} for n in questions]


def test_rounds_hold_running_totals_so_the_last_one_is_the_cost(results: Path) -> None:
    write_record(results, make_record(rounds=rounds_of(200, 1000)))
    (cell,) = load_records(results).complete
    assert cell.charged["teacher"].questions == 1000
    assert cell.charged["teacher"].usd == pytest.approx(1.0)


def test_folders_with_a_dot_are_no_cells(results: Path) -> None:
    write_record(results / ".attempts", make_record())
    (results / "half_written").mkdir()
    records = load_records(results)
    assert (records.complete, records.problems) == ((), ())
    assert records.unfinished == (results / "half_written",)


def _without(name: str) -> dict[str, Any]:
    record = make_record()
    del record[name]
    return {"cell_id": "abc"} | record


def _sampled(majority: dict[str, float], passed: dict[str, float]) -> Record:
    record = make_record()
    record["test"][0] |= {"majority_at": majority, "pass_at": passed}
    return record


DAMAGED = {
    "lacks test": _without("test"),
    "lacks seed": _without("seed"),
    "lacks test[0].pass_at.4": _sampled({"4": 0.5}, {"2": 0.5}),
    "pass_at.4 is '4', expected a fraction": _sampled({"4": 0.5}, {"4": 4}),
    "expected whole numbers": _sampled({"k": 0.5}, {"k": 0.5}),
    "lacks identity": _without("identity"),
    "test is empty": make_record(test=[]),
    "twice": make_record(test=2 * make_record()["test"]),
    "expected a fraction": make_record(value=91.2),
    "lacks test[0].n": make_record(test=[{"dataset": "chain_sum", "metric": "accuracy", "value": 0.5}]),
    "rounds[0].charged.teacher is '3'": make_record(rounds=[{"charged": {"teacher": 3}, "spent": {}}]),
    "running totals": make_record(rounds=rounds_of(200, 100)),
    "seed is 'True'": make_record(seed=True),
    "status is 'running'": make_record(status="running"),
    "a copy?": make_record() | {"cell_id": "another"},
}


@pytest.mark.parametrize("reason", DAMAGED)
def test_a_damaged_record_is_named_with_its_reason(results: Path, reason: str) -> None:
    write_record(results, make_record("elad"))
    path = write_record(results, DAMAGED[reason] | {"cell_id": "broken"})
    if reason == "a copy?":
        path.write_text(json.dumps(DAMAGED[reason]))
    records = load_records(results)
    assert len(records.complete) == 1
    assert [problem.path for problem in records.problems] == [path]
    assert reason in records.problems[0].message


@pytest.mark.parametrize("content", [b"", b'{"cell_id": "a', b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_a_problem(results: Path, content: bytes) -> None:
    path = write_record(results, make_record())
    path.write_bytes(content)
    assert [problem.path for problem in load_records(results).problems] == [path]


def test_a_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="python -m benchmark -m method="):
        load_records(tmp_path / "nowhere")


def test_short_ids_are_unique_prefixes() -> None:
    ids = ["0123456789ab", "0123456789cd", "0123ffff0000", "ffffffffffff"]
    short = short_ids(ids)
    assert short == dict(zip(ids, ["0123456789a", "0123456789c", "0123ffff", "ffffffff"], strict=True))
    for cell_id, prefix in short.items():
        assert [other for other in ids if other.startswith(prefix)] == [cell_id]
