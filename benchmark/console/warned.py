"""Warnings that a process gives once, however many cells they are true of."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.console.stderr_lines import write_line

_given: set[str] = set()


def warn_once(lines: Iterable[str]) -> None:
    """Writes to standard error what this process has not warned of yet."""
    for line in lines:
        if line not in _given:
            _given.add(line)
            write_line(f"warning: {line}")
