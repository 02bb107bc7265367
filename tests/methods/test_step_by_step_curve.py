"""Accuracy over the number of questions, made as a user makes it: one sweep, and the table of its records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.commands.app import main as analyse

GRID = ("budget.questions=25,100", "seed=1,2", "optimization.max_steps=50", "dataset.test_size=100")


@pytest.mark.slow
def test_a_quarter_and_the_whole_of_the_questions_stand_apart_in_the_table(
    command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    """Test 11 of the paper's page: two sizes, two seeds, 50 steps each."""
    done = command("-m", "method=step_by_step", "dataset=trait_choice", "student=tiny_warm", *GRID)
    assert done.status == 0, done.err
    table = tmp_path / "table.csv"
    assert analyse(["table", "--results", str(results.path), "--format", "csv", "--output", str(table)]) == 0
    frame = pd.read_csv(table)
    trained = frame[frame["method"] == "step_by_step"].sort_values("budget_questions")
    assert list(trained["budget_questions"]) == list(trained["teacher_questions"]) == [25, 100]
    assert list(trained["num_seeds"]) == [2, 2]
    assert list(trained["student_steps"]) == [50, 50]
    assert trained["mean"].between(0, 1).all()
    assert not (trained["low"] > trained["mean"]).any()
    assert all(len(ids.split()) == 2 for ids in trained["record_ids"])
