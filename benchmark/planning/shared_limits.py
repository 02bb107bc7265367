"""Limits per minute of live teachers in a sweep over several processes: each process keeps to them by itself alone."""

from __future__ import annotations

import math

from benchmark.cell.cell import Cell

LIMITS = ("requests_per_minute", "tokens_per_minute")


def limit_lines(cell: Cell, launcher: str, at_once: int | None) -> list[str]:
    """One line per limit of a teacher that the cells of a sweep may exceed together, with what to do about it.

    `at_once` is the most cells that the launcher runs at one time; None if that is not known.
    """
    if at_once == 1:
        return []
    lines = []
    for name, teacher in cell.asked_teachers.items():
        setting = "teacher" if teacher is cell.teacher else f"teacher.members.{name}"
        for limit in LIMITS:
            value = getattr(teacher, limit, None)
            if value is None:
                continue
            together = (
                f"up to {at_once} at a time, {_shown(value * at_once)} in all" if at_once else "several at a time"
            )
            share = f"{_shown(value / at_once)}" if at_once else "a share of it"
            lines.append(
                f"{setting}.{limit}={_shown(value)} holds for each process, and hydra/launcher={launcher} runs "
                f"{together}; give {setting}.{limit}={share}, or ask ahead in one process: the same command with "
                "mode=annotate"
            )
    return lines


def _shown(value: float) -> str:
    """A number as a setting takes it, rounded down where it is large."""
    return str(math.floor(value)) if value >= 1 else f"{value:.2g}"
