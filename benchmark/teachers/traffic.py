"""What went to the servers of live teachers, counted for one cell where several share a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from benchmark.teachers.live import Traffic
from benchmark.teachers.teacher import Teacher
from benchmark.types import Json


def traffic_of(teachers: Mapping[str, Teacher]) -> dict[str, Json]:
    """The counts of this moment, by teacher; only live teachers have any."""
    found = {name: getattr(teacher, "traffic", None) for name, teacher in teachers.items()}
    return {name: _copied(traffic) for name, traffic in found.items() if isinstance(traffic, Traffic)}


def traffic_since(before: Mapping[str, Json], teachers: Mapping[str, Teacher]) -> dict[str, Json]:
    """What was added to the counts that `traffic_of` gave before."""
    return {
        name: {what: _difference(count, before[name][what]) for what, count in counts.items()}
        for name, counts in traffic_of(teachers).items()
    }


def _copied(traffic: Traffic) -> dict[str, Json]:
    return {what: dict(count) if isinstance(count, Counter) else count for what, count in vars(traffic).items()}


def _difference(now: Json, before: Json) -> Json:
    return dict(Counter(now) - Counter(before)) if isinstance(now, dict) else now - before
