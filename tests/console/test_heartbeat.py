"""Lines about a phase of work where nobody sees a bar: done of total, pace and time left, also while nothing moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmark.console import heartbeat
from benchmark.console.heartbeat import Heartbeat
from benchmark.console.progress import Bars, Lines, purchase_bar
from benchmark.types import Usage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Moves the time of heartbeats by so many seconds."""
    now = [1000.0]
    monkeypatch.setattr(heartbeat.time, "perf_counter", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    yield move
    monkeypatch.undo()


def silent(line: str) -> None:
    """Says nothing."""


def test_done_pace_and_time_left(clock: Callable[[float], None]) -> None:
    work = Heartbeat("training", 1500, silent)
    clock(60)
    work.advance(120)
    assert work.line() == "training: 120 of 1,500, 2 per s, 12 min left"


def test_slow_units_have_seconds_each(clock: Callable[[float], None]) -> None:
    work = Heartbeat("training", 40, silent)
    clock(60)
    work.advance(4)
    assert work.line() == "training: 4 of 40, 15 s each, 9 min left"
    clock(1200)
    work.advance(1)
    assert work.line() == "training: 5 of 40, 4 min each, 2 h 27 min left"


def test_work_of_an_earlier_attempt_is_no_pace(clock: Callable[[float], None]) -> None:
    work = Heartbeat("training", 1000, silent)
    work.advance(900, earlier=True)
    clock(60)
    work.advance(6)
    assert work.line() == "training: 906 of 1,000, 10 s each, 16 min left"


def test_the_pace_is_that_of_the_last_minutes(clock: Callable[[float], None]) -> None:
    work = Heartbeat("evaluating", 10_000, silent)
    for _ in range(3):
        clock(60)
        work.advance(600)
        work.line()
    for _ in range(heartbeat.LINES_OF_PACE):
        clock(60)
        work.advance(60)
        line = work.line()
    assert line == "evaluating: 2,100 of 10,000, 1 s each, 2 h 12 min left"


def test_nothing_new_is_said_too(clock: Callable[[float], None]) -> None:
    work = Heartbeat("annotating", 40, silent)
    clock(180)
    assert work.line() == "annotating: 0 of 40, nothing new for 3 min"


def test_work_that_nobody_can_count(clock: Callable[[float], None]) -> None:
    work = Heartbeat("loading models", None, silent)
    clock(75)
    assert work.line() == "loading models: for 75 s"


def test_more_than_the_total_leaves_no_time(clock: Callable[[float], None]) -> None:
    work = Heartbeat("annotating", 3, silent)
    clock(60)
    work.advance(6)
    assert work.line() == "annotating: 6 of 3, 10 s each, 0 s left"


@contextmanager
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_LINES", 0.02)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heartbeat")]


def wait_for(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not found() and time.monotonic() < end:
        time.sleep(0.01)
    assert found()


def test_a_unit_that_takes_for_ever_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with quick_heart(monkeypatch), Heartbeat("training", 5, said.append) as work:
        work.advance(1)
        wait_for(lambda: len(said) >= 3)
    assert said[-1].startswith("training: 1 of 5, ")
    assert len(set(said)) >= 2


def test_the_thread_ends_where_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with quick_heart(monkeypatch), pytest.raises(ValueError, match="broken"), Heartbeat("training", 5, silent):
        raise ValueError("broken")


def beats(display: Any, total: int | None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    """The lines that a display prints about work of which one unit of three is done."""
    printed: list[str] = []

    def some() -> bool:
        printed.extend(capsys.readouterr().err.splitlines())
        return len(printed) >= 2

    with quick_heart(monkeypatch), display.bar("scoring", total) as advance:
        advance(1)
        wait_for(some)
    return printed


@pytest.mark.parametrize("total", [3, None])
def test_a_lone_cell_in_a_log_file(total: int | None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for line in beats(Bars(), total, monkeypatch, capsys)[:2]:
        clock_, _, state = line.partition("  ")
        time.strptime(clock_, "%H:%M:%S")
        assert state.startswith("scoring: 1 of 3, " if total else "scoring: for ")


def test_a_cell_of_a_sweep_says_its_name(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for line in beats(Lines("answer_only, seed 1"), 3, monkeypatch, capsys)[:2]:
        assert "  answer_only, seed 1: scoring: 1 of 3, " in line


def test_a_purchase_says_what_it_has_spent(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Purchase:
        def bar(self, description: str, total: int) -> Any:
            return purchase_bar(description, total, lambda: Usage(prompt_tokens=10, completion_tokens=5, usd=0.25))

    for line in beats(Purchase(), 3, monkeypatch, capsys)[:2]:
        assert "scoring: 1 of 3, " in line
        assert line.endswith("0.25 USD spent")
