"""How long a sweep will still take, from its finished cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from analysis.records.load import FinishedCell
from benchmark.records.schema import CellNames


def seconds_left(
    finished: Sequence[FinishedCell], waiting: Sequence[CellNames], at_work: Mapping[str, float], now: float
) -> float | None:
    """The expected seconds until all waiting cells are done, as many at once as are at work now; None if unknown.

    A cell lasts as long as finished cells that differ in the seed alone; without any, as long as all finished cells do
    on average.

    Args:
        finished: cells that say how long to expect; none of them, or none with a time, makes the answer None.
        waiting: cells that are at work or missing.
        at_work: id of a cell -> when it began, in seconds since the epoch.
        now: the present, on the same clock.
    """
    alike: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for cell in finished:
        if cell.seconds is not None:
            alike[_kind(cell.names)].append(cell.seconds)
    known = [seconds for group in alike.values() for seconds in group]
    if not known:
        return None
    usual = fmean(known)
    expected = {kind: fmean(seconds) for kind, seconds in alike.items()}
    left = [expected.get(_kind(cell), usual) - (now - at_work.get(cell.cell_id, now)) for cell in waiting]
    return sum(max(seconds, 0.0) for seconds in left) / max(len(at_work), 1)


def _kind(names: CellNames) -> tuple[str, ...]:
    return names.method, names.dataset, names.student, names.teacher or ""
