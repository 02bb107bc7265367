"""Which cells of a results folder a process is working on now: it holds their lock files."""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from pathlib import Path

LOCKS = ".locks"


def cells_at_work(results: Path) -> Mapping[str, float]:
    """Id of each cell that a process of this computer, or of one with shared locks, is running -> when it began.

    The time is in seconds since the epoch. The lock of a process that died is free. Looking changes nothing: the lock
    is asked for together with other readers, and given back at once.
    """
    return {path.stem: path.stat().st_mtime for path in sorted((results / LOCKS).glob("*.lock")) if _is_held(path)}


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no right to read it, or a file system without locks
        return False
    return False
