"""Lines on standard error, each in one write, so that lines of several processes do not mix."""

from __future__ import annotations

import sys
import time


def write_line(line: str) -> None:
    """Prints a line at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def with_clock(line: str) -> str:
    """The line behind the time of day."""
    return f"{time.strftime('%H:%M:%S')}  {line}"
