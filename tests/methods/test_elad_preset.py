"""The preset of ELAD, revised by the simulated teacher, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from benchmark.app import CONF

PERFECT = ("teacher.verify.false_accept=0", "teacher.verify.false_reject=0")
SHORT = ("dataset.pool_size=60", "dataset.validation_size=4", "dataset.test_size=4", "evaluation.validation_size=4")
Command = Callable[..., Any]


def elad(command: Command, folder: Path, *overrides: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record and the annotations of one cell."""
    done = command("method=elad", "teacher=simulated", *PERFECT, *overrides)
    assert done.status == 0, done.err
    [cell] = (folder / "results").glob("*/record.json")
    rows = pyarrow.parquet.read_table(cell.with_name("annotations.parquet")).to_pylist()
    return json.loads(cell.read_text()), rows


def survival(records: Sequence[dict[str, Any]]) -> float:
    """The share of the student's steps that the teacher accepted, over the notes of rounds."""
    return sum(each["survived"] for each in records) / sum(each["written"] for each in records)


def test_the_preset_runs_with_the_simulated_reviser_and_its_calls_are_all_counted(
    command: Command, tmp_path: Path
) -> None:
    record, rows = elad(
        command, tmp_path, "budget.questions=12", "optimization.max_steps=10", "student.max_new_tokens=24",
        "selection.explanations=2", "schedule.least_gain=0", *SHORT,
    )  # fmt: skip
    assert (record["status"], record["method"], record["uses_gold"]) == (
        "complete", "elad+schedule.least_gain=0+selection.explanations=2", False,
    )  # fmt: skip
    charged = record["rounds"][-1]["charged"]["teacher"]
    asked = {
        (each["request"]["role"], each["request"]["prompt"])
        for row in rows
        for each in json.loads(row["exchanges"])
        if each["source"] == "simulated"
    }
    assert charged["calls"] == len(asked) > charged["questions"] == len(rows) == 12
    assert {role for role, _ in asked} <= {"verify", "finish"}
    solved = [row for row in rows if row["answer"] is not None]
    assert len(solved) == len(rows)  # a reviser without mistakes leaves no question without an answer


@pytest.mark.slow
@pytest.mark.skipif(not (CONF / "student" / "tiny_warm.yaml").exists(), reason="there is no warm student")
def test_a_third_of_a_warm_students_steps_survive(command: Command, tmp_path: Path) -> None:
    """The base alone solves few chain sums, so that the first round is mostly the teacher's; later ones are not."""
    record, _ = elad(command, tmp_path, "student=tiny_warm", "budget.questions=400", "dataset.pool_size=1000")
    notes = [log["notes"] for log in record["rounds"]]
    assert survival(notes) >= 1 / 3
    assert survival(notes[:1]) < survival(notes[-1:])
