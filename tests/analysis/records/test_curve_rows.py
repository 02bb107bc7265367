"""The curve of a finished cell, from its log and its record."""

from __future__ import annotations

from pathlib import Path

from analysis.records.curve_rows import curve_rows
from benchmark.records.schema import CompleteRecord
from tests.analysis.record_files import make_record

BOOK = {"teacher": {"calls": 3, "prompt_tokens": 9, "completion_tokens": 4, "usd": None, "questions": 2}}


def record_of(*steps: int | None) -> CompleteRecord:
    rounds = [
        {"index": i, "optimiser_steps": count, "annotated": i, "charged": BOOK, "spent": {}}
        | {"validation": {"accuracy": 1.0}}
        for i, count in enumerate(steps)
    ]
    train = {"tokens": 1, "optimiser_steps": sum(each or 0 for each in steps) or 30, "seconds": 1, "flops": 1}
    return CompleteRecord.model_validate(make_record(rounds=rounds, train=train))


def test_the_record_alone_has_the_ends_of_rounds_and_the_test(tmp_path: Path) -> None:
    amounts = {"calls": 3, "prompt_tokens": 9, "completion_tokens": 4, "questions": 2}
    charged = {f"charged/teacher/{name}": amount for name, amount in amounts.items()}
    assert curve_rows(tmp_path, record_of(10, 20)) == [
        {"step": 10, "round": 0, "validation/accuracy": 1.0},
        {"step": 10, "round": 0, "annotated": 0, **charged},
        {"step": 30, "round": 1, "validation/accuracy": 1.0},
        {"step": 30, "round": 1, "annotated": 1, **charged},
        {"step": 30, "test/accuracy": 0.9},
    ]


def test_what_was_logged_and_recorded_comes_once_and_the_rest_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    head = "round,step,train/loss,validation/accuracy,test/accuracy\n"
    rows = "0,0,2.0,,\n0,10,,1.0,\n1,10,1.0,,\n1,30,,1.0,\n,30,,,0.9\n"
    (tmp_path / "log" / "metrics.csv").write_text(head + rows, encoding="utf-8")
    found = curve_rows(tmp_path, record_of(10, 20))
    assert [(row["step"], row.get("round")) for row in found] == [
        (0, 0), (10, 0), (10, 0), (10, 1), (30, 1), (30, 1), (30, None),
    ]  # fmt: skip
    assert [row["train/loss"] for row in found if "train/loss" in row] == [2.0, 1.0]
    assert sum("validation/accuracy" in row for row in found) == sum("annotated" in row for row in found) == 2


def test_an_older_record_without_steps_of_rounds_has_equal_shares(tmp_path: Path) -> None:
    steps = [row["step"] for row in curve_rows(tmp_path, record_of(None, None, None)) if "annotated" in row]
    assert steps == [10, 20, 30]


def test_an_untrained_student_has_its_test_alone(tmp_path: Path) -> None:
    record = CompleteRecord.model_validate(make_record("untrained", 0.1))
    assert curve_rows(tmp_path, record) == [{"step": 1500, "test/accuracy": 0.1}]
