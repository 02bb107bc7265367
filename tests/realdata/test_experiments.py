"""Experiments on real data are possible as they are written, without the models that they need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "cqa" / "train.jsonl").is_file(), reason=f"no data in {DATA}"),
]
LIVE = ("teacher.base_url=http://localhost:1", "teacher.model=none")


@pytest.mark.parametrize(
    ("name", "overrides", "cells"),
    [
        ("honey_cqa", ("seed=0", "student=t5_v1_1_base", *LIVE), 5),
        ("step_by_step_cqa_small", ("seed=1", "student=t5_v1_1_base", "optimization=t5_v1_1_base"), 5),
        ("step_by_step_table", ("seed=1", "method=step_by_step,mutual_information"), 6),
    ],
)
def test_an_experiment_on_real_data_plans(
    name: str, overrides: tuple[str, ...], cells: int, command: Callable[..., Any]
) -> None:
    done = command(f"experiment={name}", f"data_dir={DATA}", *overrides, "mode=plan")
    assert done.status == 0, done.err
    assert f"total of {cells} to run" in done.out
    assert "impossible" not in done.out
