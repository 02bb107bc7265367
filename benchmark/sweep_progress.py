"""How far a sweep is and how long it will take, in a line on standard error, whatever launcher runs its cells."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

from benchmark.console.heartbeat import duration
from benchmark.console.stderr_lines import with_clock, write_line
from benchmark.grid import GridCell
from benchmark.records.catalog import RECORD
from benchmark.records.schema import CompleteRecord, RecordError, read_record

SECONDS_BETWEEN_LOOKS = 2.0
SHORTEST_SILENCE_SECONDS = 60.0
"""Two lines are at least so far apart."""
LONGEST_SILENCE_SECONDS = 300.0
"""A line comes after so long, also where no cell has finished."""


class SweepProgress:
    """Counts the cells of a sweep that have finished, and foretells the rest from cells like them.

    Cells are alike if only their seeds differ. A cell like no finished one is taken to last as long as the finished
    cells do on average.
    """

    def __init__(self, cells: Sequence[GridCell], waiting: int = 0) -> None:
        """`waiting` is the number of further cells, which can only begin once all of these have finished."""
        self.total = len(cells) + waiting
        self.waiting = waiting
        self.failed = 0
        self._pending = {each.cell_id: each for each in cells if each.status != "complete"}
        self._seconds: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._begun: dict[str, float] = {}
        self._started = time.time()
        for each in cells if self._pending else ():
            if each.status == "complete":
                self._learn(each)

    def follow(self, cells: Sequence[GridCell]) -> None:
        """Counts these cells in place of those that were waiting."""
        self.total += len(cells) - self.waiting
        self.waiting = 0
        self._pending |= {each.cell_id: each for each in cells if each.status != "complete"}

    def look(self) -> int:
        """Notes which cells began or finished since the last look. Returns how many finished."""
        finished = [each for each in self._pending.values() if self._is_new(_record_of(each))]
        for each in finished:
            del self._pending[each.cell_id]
            self._begun.pop(each.cell_id, None)
            self._learn(each)
        at_work = {name for folder in self._folders() for name in _at_work(folder)} & self._pending.keys()
        now = time.time()
        self._begun = {cell_id: self._begun.get(cell_id, now) for cell_id in at_work}
        return len(finished)

    def line(self) -> str:
        """How many cells have finished, and the time left if any cell of the sweep has finished already."""
        done = f"sweep: {self.total - self.waiting - len(self._pending)} of {self.total} cells finished"
        failed = f" ({self.failed} failed)" if self.failed else ""
        left = self.seconds_left()
        return f"{done}{failed}, {'time left not known yet' if left is None else f'about {duration(left)} left'}"

    def seconds_left(self) -> float | None:
        """The expected time of all cells that have not finished, shared among as many as are at work now."""
        known = [seconds for alike in self._seconds.values() for seconds in alike]
        if not known:
            return None
        now, usual = time.time(), fmean(known)
        left = usual * self.waiting
        for cell_id, each in self._pending.items():
            alike = self._seconds.get(_kind(each))
            left += max((fmean(alike) if alike else usual) - (now - self._begun.get(cell_id, now)), 0.0)
        return left / max(len(self._begun), 1)

    def _learn(self, each: GridCell) -> None:
        try:
            record = read_record(_record_of(each))
        except RecordError:
            self.failed += 1
            return
        if not isinstance(record, CompleteRecord):
            self.failed += 1
        elif record.seconds is not None:
            self._seconds[_kind(each)].append(record.seconds)

    def _is_new(self, record: Path) -> bool:
        """Whether a record was written by this command; one of an earlier failure stays there until it is replaced."""
        try:
            return record.stat().st_mtime >= self._started
        except OSError:
            return False

    def _folders(self) -> set[Path]:
        return {Path(each.cell.results_dir) / ".writing" for each in self._pending.values()}


@contextmanager
def shown(progress: SweepProgress) -> Iterator[None]:
    """Inside the block, a thread prints the sweep's progress where cells finish, and at least every five minutes.

    Nothing is printed for a sweep of one cell.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(progress, over), daemon=True, name="sweep's progress")
    if progress.total > 1:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if progress.total > 1:
            thread.join()


def _watch(progress: SweepProgress, over: threading.Event) -> None:
    last, news = time.monotonic(), progress.look()
    while not over.wait(SECONDS_BETWEEN_LOOKS):
        news += progress.look()
        silence = time.monotonic() - last
        if silence >= (SHORTEST_SILENCE_SECONDS if news else LONGEST_SILENCE_SECONDS):
            write_line(with_clock(progress.line()))
            last, news = time.monotonic(), 0


def _record_of(each: GridCell) -> Path:
    return Path(each.cell.results_dir) / each.cell_id / RECORD


def _at_work(folder: Path) -> list[str]:
    """The ids of the cells that are being written."""
    try:
        return [path.name.partition("-")[0] for path in folder.iterdir()]
    except OSError:
        return []


def _kind(each: GridCell) -> tuple[str, ...]:
    """What cells have in common that differ in their seeds alone."""
    return tuple(o for o in each.overrides if o.partition("=")[0] not in ("seed", "data_seed"))
