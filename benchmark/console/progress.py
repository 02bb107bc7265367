"""What a person sees while a cell runs: bars with time left for one cell, one line per change of state in a sweep."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.types import Usage

Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 30.0
"""Seconds between two progress lines of a purchase, if the output is not a terminal."""


class Display(Protocol):
    """Shows the progress of one cell."""

    def say(self, state: str) -> None:
        """Prints a change of state."""
        ...

    def bar(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Shows work of `total` units inside the block; call the function it yields with the number of new units."""
        ...


class Bars:
    """Live bars on a terminal, for a cell that runs alone; plain lines if the output is not a terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    def say(self, state: str) -> None:
        """Prints the state on a line of its own."""
        self.console.print(state, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """A bar with count, time used and time left; at the end it prints one line with count and seconds."""
        started, done = time.perf_counter(), 0
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(description, total=total)

            def advance(steps: int) -> None:
                nonlocal done
                done += steps
                progress.advance(task, steps)

            yield advance
        self.say(f"{description:<28} {done:>6} in {time.perf_counter() - started:.1f} s")


class Lines:
    """One line per change of state, with the cell's name, for cells that run side by side."""

    def __init__(self, cell: str) -> None:
        self.cell = cell

    def say(self, state: str) -> None:
        """Prints the state after the cell's name, in one write, so that lines of several processes do not mix."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {self.cell}: {state}\n")
        sys.stderr.flush()

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Shows nothing: a sweep prints only changes of state."""
        yield lambda steps: None


@contextmanager
def purchase_bar(description: str, total: int, spent: Callable[[], Usage]) -> Iterator[Advance]:
    """A bar for a purchase, with questions and tokens per second and USD; `spent` returns what was paid so far.

    If the output is not a terminal, it prints a line every `SECONDS_BETWEEN_LINES` instead. At the end it prints a line
    with the totals.
    """
    console = Console(stderr=True)
    started = told = time.perf_counter()
    done = 0

    def pace() -> str:
        seconds, usage = max(time.perf_counter() - started, 1e-9), spent()
        tokens = usage.prompt_tokens + usage.completion_tokens
        questions = done / seconds
        shown = f"{questions:,.0f}" if questions >= 10 else f"{questions:.2g}"  # a slow teacher takes minutes for one
        return f"{shown} questions/s, {tokens / seconds:,.0f} tokens/s, {usage.usd:,.2f} USD spent"

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total, pace=pace())

        def advance(steps: int) -> None:
            nonlocal done, told
            done += steps
            progress.update(task, advance=steps, pace=pace())
            if not console.is_terminal and time.perf_counter() - told > SECONDS_BETWEEN_LINES:
                told = time.perf_counter()
                _tell(f"{description:<28} {done:>6} of {total}, {pace()}")

        yield advance
    _tell(f"{description:<28} {done:>6} in {time.perf_counter() - started:.1f} s, {pace()}")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
