"""The rehearsed ELAD as a preset of another search path, revised by the simulated teacher, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from benchmark.app import CONF

SEARCH_PATH = f"hydra.searchpath=[{Path(__file__).with_name('conf')}]"
PERFECT = ("teacher.verify.false_accept=0", "teacher.verify.false_reject=0")
SHORT = ("dataset.pool_size=60", "dataset.validation_size=4", "dataset.test_size=4", "evaluation.validation_size=4")
Command = Callable[..., Any]


def elad(command: Command, folder: Path, *overrides: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record and the annotations of one cell."""
    done = command(SEARCH_PATH, "method=elad", "teacher=simulated", *PERFECT, *overrides)
    assert done.status == 0, done.stderr
    [cell] = (folder / "results").glob("*/record.json")
    rows = pyarrow.parquet.read_table(cell.with_name("annotations.parquet")).to_pylist()
    return json.loads(cell.read_text()), rows


def survival(record: dict[str, Any]) -> list[float]:
    """Per round the share of the student's steps that the teacher accepted."""
    notes = [log["notes"] for log in record["rounds"]]
    return [each["survived"] / max(1, each["written"]) for each in notes]


def test_the_preset_runs_with_the_simulated_reviser_and_its_calls_are_all_counted(
    command: Command, tmp_path: Path
) -> None:
    record, rows = elad(
        command, tmp_path, "budget.questions=12", "optimization.max_steps=10", "student.max_new_tokens=24",
        "selection.explanations=2", *SHORT,
    )  # fmt: skip
    assert (record["status"], record["method"], record["uses_gold"]) == (
        "complete", "elad+selection.explanations=2", False,
    )  # fmt: skip
    charged = record["rounds"][-1]["charged"]["teacher"]
    asked = {
        (each["request"]["role"], each["request"]["prompt"])
        for row in rows
        for each in json.loads(row["exchanges"])
        if each["source"] == "simulated"
    }
    assert charged["calls"] == len(asked) > charged["questions"] == len(rows) == 12
    assert {role for role, _ in asked} <= {"verify", "fix", "finish"}
    solved = [row for row in rows if row["answer"] is not None]
    assert len(solved) == len(rows)  # a reviser without mistakes leaves no question without an answer


@pytest.mark.slow
@pytest.mark.skipif(not (CONF / "student" / "tiny_warm.yaml").exists(), reason="there is no warm student")
def test_a_third_of_a_warm_students_steps_survive(command: Command, tmp_path: Path) -> None:
    record, _ = elad(command, tmp_path, "student=tiny_warm", "budget.questions=100", "dataset.pool_size=400")
    shares = survival(record)
    assert min(shares) >= 1 / 3, shares
