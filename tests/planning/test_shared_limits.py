"""Limits per minute hold for one process: a sweep over several says so, in the plan and at its start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
LIVE = (
    "teacher=openai_compatible",
    "teacher.base_url=http://localhost:1/v1",
    "teacher.model=m",
    "teacher.max_retries=0",
)
LIMITED = (*LIVE, "teacher.requests_per_minute=60")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=4")
SAID = (
    "teacher.requests_per_minute=60 holds for each process, and hydra/launcher=joblib runs up to 4 at a time, "
    "240 in all; give teacher.requests_per_minute=15, or ask ahead in one process: the same command with mode=annotate"
)


@pytest.fixture(autouse=True)
def _client() -> None:
    pytest.importorskip("openai")


def test_the_plan_says_it_once(command: Run, miniature: tuple[str, ...]) -> None:
    done = command("-m", "mode=plan", *miniature, *LIMITED, *JOBLIB, "seed=1,2")
    assert done.status == 0, done.err
    assert [line for line in done.out.splitlines() if "per_minute" in line] == [f"- {SAID}"]


def test_the_start_of_a_sweep_says_it_before_any_work(
    command: Run, miniature: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.console import warned
    from benchmark.sweep import Sweep

    monkeypatch.setattr(warned, "_given", set())
    monkeypatch.setattr(Sweep, "launch", lambda *_: [])
    done = command("-m", *miniature, *LIMITED, *JOBLIB, "seed=1,2", "references=false")
    assert done.err.splitlines()[:2] == [
        f"warning: {SAID}",
        "2 cells, 0 complete, 2 to run, 4 at a time (joblib)",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((*LIMITED, "hydra.launcher.n_jobs=1", "hydra/launcher=joblib"), id="one process"),
        pytest.param(LIMITED, id="basic"),
        pytest.param((*LIVE, *JOBLIB), id="no limit"),
        pytest.param((*LIMITED, *JOBLIB, "method=gold_answers"), id="nobody is asked"),
    ],
)
def test_nothing_is_said_where_the_limit_holds(
    arguments: tuple[str, ...], command: Run, miniature: tuple[str, ...]
) -> None:
    done = command("-m", "mode=plan", *miniature, *arguments, "seed=1,2")
    assert done.status == 0, done.err
    assert "per_minute" not in done.out


def test_a_cluster_has_no_number(cell: Run) -> None:
    from benchmark.planning.shared_limits import limit_lines

    [line] = limit_lines(cell((*LIVE, "teacher.tokens_per_minute=200000")), "ray_cluster", None)
    assert line.startswith(
        "teacher.tokens_per_minute=200000 holds for each process, and hydra/launcher=ray_cluster runs several at a "
        "time; give teacher.tokens_per_minute=a share of it,"
    )
