"""Killed at random moments and issued again, a sweep ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.records.contents import changed
from benchmark.records.schema import parse_record

pytestmark = pytest.mark.slow

KILLS = 20
SIZES = (
    "dataset.pool_size=120",
    "dataset.validation_size=24",
    "dataset.test_size=48",
    "budget.questions=80",
    "optimization.max_steps=250",
    "student.max_new_tokens=24",
    "trainer.log_every_n_steps=5",
    "trainer.checkpoint_minutes=0.003",
)
MODULE = """
    import time
    from dataclasses import dataclass

    from benchmark.axes.annotation import FewShotCot
    from benchmark.axes.selection import RandomSelection
    from benchmark.contract import Requirements
    from benchmark.types import Pick, Round


    @dataclass(frozen=True)
    class ThreeRounds:
        def requires(self):
            return Requirements()

        def next_round(self, history):
            done = len(history)
            return Round(done, (0.25, 0.25, 0.5)[done], restart=done != 1) if done < 3 else None


    @dataclass(frozen=True)
    class Longest(RandomSelection):
        def rank(self, pool, context):
            asks = [context.format.request(question, context.format.answer_path[0], context.task) for question in pool]
            texts = [reply.text for [reply] in context.student.generate(asks)]
            context.note(asked=len(asks))
            order = sorted(range(len(pool)), key=lambda i: (-len(texts[i]), pool[i].id))
            return [Pick(pool[i], evidence={"wrote": texts[i]}) for i in order]


    @dataclass(frozen=True)
    class SlowTeacher(FewShotCot):
        async def annotate(self, pick, context, ask):
            time.sleep(0.02)
            return await super().annotate(pick, context, ask)
"""
CONFIGS = {
    "schedule/three_rounds": "_target_: slow_rounds.ThreeRounds\n",
    "selection/longest": "_target_: slow_rounds.Longest\n",
    "annotation/slow": "_target_: slow_rounds.SlowTeacher\nsamples: 2\ntemperature: 0.7\n",
    "method/slow_rounds": """
        # @package _global_
        defaults:
          - override /schedule: three_rounds
          - override /selection: longest
          - override /annotation: slow
        method: slow_rounds
        """,
}


def test_a_sweep_killed_at_random_moments_ends_in_the_same_bytes(
    plugin: Callable[..., str], tmp_path: Path, repository: Path
) -> None:
    elsewhere = plugin({"slow_rounds.py": MODULE}, CONFIGS)
    sweep = ["-m", elsewhere, "method=slow_rounds,step_by_step", "seed=1", *SIZES]
    started = time.monotonic()
    assert _start(repository, [*sweep, f"results_dir={tmp_path / 'whole'}"]).wait(600) == 0
    takes = time.monotonic() - started

    moments, where = random.Random(20261122), set()
    for _ in range(KILLS):
        process = _start(repository, [*sweep, f"results_dir={tmp_path / 'killed'}"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.2, 0.6) * takes)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        where |= _work_in_progress(tmp_path / "killed")
        _nothing_is_half_written(tmp_path / "killed")
    assert _start(repository, [*sweep, f"results_dir={tmp_path / 'killed'}"]).wait(600) == 0

    assert {"bought.jsonl", "pointer.json", "end.json"} <= where, f"no kill fell into {where}"
    _same_cells(tmp_path / "whole", tmp_path / "killed")
    assert _table(repository, tmp_path / "whole") == _table(repository, tmp_path / "killed")


def _start(repository: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    paths = [os.environ.get("PYTHONPATH", ""), str(repository)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments],
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its children die with it
    )


def _cells(results: Path) -> Iterator[Path]:
    yield from (path for path in sorted(results.glob("*")) if not path.name.startswith("."))


def _work_in_progress(results: Path) -> set[str]:
    return {path.name for path in (results / ".journals").rglob("*") if path.is_file()}


def _nothing_is_half_written(results: Path) -> None:
    for cell in _cells(results):
        record = json.loads((cell / "record.json").read_text())
        assert record["status"] == "complete"
        assert changed(cell, parse_record(record).files) is None


def _same_cells(whole: Path, killed: Path) -> None:
    assert [cell.name for cell in _cells(whole)] == [cell.name for cell in _cells(killed)]
    for one, other in zip(_cells(whole), _cells(killed), strict=True):
        theirs, ours = (json.loads((cell / "record.json").read_text()) for cell in (one, other))
        assert {name: row["sha256"] for name, row in theirs["files"].items()} == {
            name: row["sha256"] for name, row in ours["files"].items()
        }
        for name in ("rounds", "counters", "teacher_reference", "method"):
            assert theirs[name] == ours[name], name
        timeless = [{k: v for k, v in record["train"].items() if k not in TIMES} for record in (theirs, ours)]
        assert timeless[0] == timeless[1]
        if (one / "log" / "metrics.csv").exists():
            assert (one / "log" / "metrics.csv").read_bytes() == (other / "log" / "metrics.csv").read_bytes()


TIMES = ("seconds", "peak_memory_bytes")


def _table(repository: Path, results: Path) -> str:
    done: Any = subprocess.run(
        [sys.executable, "-m", "analysis", "table", "--results", str(results)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(re.escape(str(results)), "", str(done.stdout))
