"""The most memory that a cell took, and memory that is kept instead of fetched again."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
from collections.abc import Callable
from pathlib import Path

STATUS, STATISTICS = Path("/proc/self/status"), Path("/proc/self/statm")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # the names that glibc's mallopt(3) knows them by

MOST_KEPT = 1.5


def keep_freed_memory() -> None:
    """Lets the C library keep what tensors free: a step frees gigabytes and would fetch them again page by page.

    Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(MMAP_THRESHOLD, 2**30)
        glibc.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Gives the system what nothing needs any more: models of earlier cells, or all that a fit took beside its student.

    Does nothing about what the C library keeps where that is not glibc.
    """
    gc.collect()  # models and optimisers stand in cycles, which Python looks for only now and then
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class StepMemory:
    """Keeps what steps free for the next ones, until what they left in pieces outweighs what a step needs.

    Steps of other lengths fit badly into the holes of those before, so that kept memory would grow with every step.
    """

    def __init__(self, resident_bytes: Callable[[], int] | None = None) -> None:
        self._resident_bytes = resident_bytes or resident_memory
        self._needed_bytes = 0
        self._fresh = True

    def after_step(self) -> None:
        """Gives back freed memory where there is `MOST_KEPT` times as much as after a first step without any."""
        resident = self._resident_bytes()
        if self._fresh:
            self._needed_bytes = max(self._needed_bytes, resident)
        self._fresh = resident > MOST_KEPT * self._needed_bytes
        if self._fresh:
            give_back_freed_memory()


def resident_memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(STATISTICS.read_text().split()[1]) * mmap.PAGESIZE
    return 0


def forget_peak() -> None:
    """Starts a new measurement, where the system allows it; processes that run several cells need it."""
    import torch

    give_back_freed_memory()  # what an earlier cell left is not this one's
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """Peak since `forget_peak`: of the accelerator where one is used, else of the process; None where not known."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
