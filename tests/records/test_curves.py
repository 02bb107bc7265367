"""The curves of several attempts at one cell, as one curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmark.records.curves import METRICS, before, gather, joined

Row = Mapping[str, str]


def trained(step: int, round_index: int, loss: str = "1.0") -> Row:
    return {"step": str(step), "round": str(round_index), "train/loss": loss}


def validated(step: int, round_index: int) -> Row:
    return {"step": str(step), "round": str(round_index), "validation/accuracy": "0.5"}


def attempt(folder: Path, number: int, *lines: str) -> Path:
    path = folder / f"{number:04d}" / METRICS
    path.parent.mkdir(parents=True)
    path.write_text("".join(lines), encoding="utf-8")
    return folder / f"{number:04d}"


def test_rows_that_were_logged_again_are_those_of_the_later_attempt(tmp_path: Path) -> None:
    head = "round,step,train/loss,validation/accuracy\n"
    attempt(tmp_path / "attempts", 0, head, "0,0,1.0,\n", "0,2,,0.5\n", "1,2,0.9,\n", "1,3,0.8,\n")
    attempt(tmp_path / "attempts", 1, head, "1,3,0.7,\n", "1,4,0.6,\n", "1,4,,0.5\n")
    rows = joined((tmp_path / "attempts").iterdir())
    assert rows == [
        trained(0, 0), validated(2, 0), trained(2, 1, "0.9"), trained(3, 1, "0.7"), trained(4, 1, "0.6"),
        validated(4, 1),
    ]  # fmt: skip
    (tmp_path / "cell").mkdir()
    gather(tmp_path / "attempts", tmp_path / "cell")
    assert joined([tmp_path / "cell"]) == rows


def test_a_line_that_was_cut_off_is_no_row(tmp_path: Path) -> None:
    folder = attempt(tmp_path, 0, "round,step,train/loss\n", "0,0,1.25\n", "0,1,1.2")  # perhaps of 1.25
    assert joined([folder]) == [trained(0, 0, "1.25")]


def test_without_any_row_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "attempts" / "0000").mkdir(parents=True)
    (tmp_path / "cell").mkdir()
    gather(tmp_path / "attempts", tmp_path / "cell")
    assert not (tmp_path / "cell" / METRICS).exists()


KNOWN = [trained(0, 0), trained(1, 0), validated(2, 0), trained(2, 1), trained(3, 1), validated(4, 1)]


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        pytest.param(trained(0, 0), 0, id="from the beginning"),
        pytest.param(validated(2, 0), 2, id="from the validation of the first round"),
        pytest.param(trained(2, 1), 3, id="from the same step, in the next round"),
        pytest.param(trained(3, 1, "other"), 4, id="from the middle of the second round"),
        pytest.param({"step": "4", "test/accuracy": "0.5"}, 6, id="the test, which nobody has logged"),
        pytest.param({"step": "1", "round": "0", "x": "1"}, 2, id="something new in the middle"),
    ],
)
def test_only_what_comes_before_the_first_row_of_an_attempt_is_logged_again(row: Row, kept: int) -> None:
    assert before(KNOWN, row) == KNOWN[:kept]


def test_the_test_comes_last_although_it_has_no_round(tmp_path: Path) -> None:
    folder = attempt(tmp_path, 0, "round,step,test/accuracy,train/loss\n", ",4,0.5,\n", "3,4,,1.0\n")
    assert joined([folder]) == [trained(4, 3), {"step": "4", "test/accuracy": "0.5"}]
