"""What a person sees while a cell runs: bars with time left for one cell on a terminal, lines everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmark.console.heartbeat import Heartbeat
from benchmark.console.stderr_lines import with_clock, write_line
from benchmark.types import Usage


class Advance(Protocol):
    """Reports finished units of work to a display."""

    def __call__(self, units: int, *, earlier: bool = False) -> None:
        """Adds units; `earlier` says that an earlier attempt did them, so that the pace leaves them out."""
        ...


def show_nothing(units: int, *, earlier: bool = False) -> None:
    """An `Advance` without a display."""


class Display(Protocol):
    """Shows the progress of one cell."""

    def say(self, state: str) -> None:
        """Prints a change of state."""
        ...

    def bar(self, description: str, total: int | None) -> AbstractContextManager[Advance]:
        """Shows work of `total` units inside the block, or of an unknown number of them (None).

        Call the function that it yields with the number of new units.
        """
        ...


class Silent:
    """A display that shows nothing."""

    def say(self, state: str) -> None:
        """Nothing."""

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Advance]:
        """Nothing."""
        yield show_nothing


class Bars:
    """Live bars on a terminal, for a cell that runs alone; plain lines if the output is not a terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    def say(self, state: str) -> None:
        """Prints the state on a line of its own, after the time where the output is no terminal."""
        line = state if self.console.is_terminal else with_clock(state)
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Advance]:
        """A bar with count, time used and time left; at the end it prints one line with count and seconds.

        If the output is not a terminal, a line every minute says where the work stands.
        """
        with Heartbeat(description, total, self._beat) as work:
            columns = (
                TextColumn("{task.description:<28}"),
                BarColumn(),
                *(() if total is None else (MofNCompleteColumn(),)),
                TimeElapsedColumn(),
                *(() if total is None else (TextColumn("left"), TimeRemainingColumn())),
            )
            with _live(columns, self.console) as progress:
                task = progress.add_task(description, total=total)

                def advance(units: int, *, earlier: bool = False) -> None:
                    work.advance(units, earlier=earlier)
                    progress.advance(task, units)

                yield advance
        if total is not None:
            before = f", {work.earlier:,} of them before" if work.earlier else ""
            self.say(f"{description:<28} {work.done:>6} in {work.seconds:.1f} s{before}")

    def _beat(self, line: str) -> None:
        if not self.console.is_terminal:
            self.say(line)


class Lines:
    """One line per change of state, with the cell's name, for cells that run side by side."""

    def __init__(self, cell: str) -> None:
        self.cell = cell

    def say(self, state: str) -> None:
        """Prints the state after the time and the cell's name."""
        write_line(with_clock(f"{self.cell}: {state}"))

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Advance]:
        """No bar, since cells run side by side: a line every minute says where the work stands."""
        with Heartbeat(description, total, self.say) as work:
            yield work.advance


@contextmanager
def purchase_bar(description: str, total: int, spent: Callable[[], Usage]) -> Iterator[Advance]:
    """A bar for a purchase, with questions and tokens per second and USD; `spent` returns what was paid so far.

    If the output is not a terminal, it prints a line every minute instead. At the end it prints a line with the totals.
    """
    console = Console(stderr=True)

    def beat(line: str) -> None:
        if not console.is_terminal:
            write_line(with_clock(line))

    def pace() -> str:
        usage, seconds = spent(), max(work.seconds, 1e-9)
        tokens, questions = usage.prompt_tokens + usage.completion_tokens, work.done / seconds
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
    work = Heartbeat(description, total, beat, pace)
    with work, _live(columns, console) as progress:
        task = progress.add_task(description, total=total, pace=pace())

        def advance(units: int, *, earlier: bool = False) -> None:
            work.advance(units, earlier=earlier)
            progress.update(task, advance=units, pace=pace())

        yield advance
    write_line(f"{description:<28} {work.done:>6} in {work.seconds:.1f} s, {pace()}")


def _live(columns: Sequence[ProgressColumn], console: Console) -> Progress:
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
