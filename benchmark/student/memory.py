"""Measures a cell's peak memory, and decides how much freed memory the process keeps for later use."""

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
"""Freed memory is returned once the process holds this many times the memory that a step needs."""


def keep_freed_memory() -> None:
    """Makes the C library keep memory that tensors free: a step frees gigabytes, and the next step needs them again.

    Does nothing if the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(MMAP_THRESHOLD, 2**30)
        glibc.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Returns unused memory to the system, for example of earlier cells' models or of a finished fit.

    If the C library is not glibc, memory that it keeps is not returned.
    """
    gc.collect()  # models and optimisers stand in cycles, which Python looks for only now and then
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class StepMemory:
    """Keeps memory that a step frees for the next steps, and returns it to the system when it becomes too much.

    Steps of different lengths need pieces of different sizes, so that kept memory would grow with every step.
    """

    def __init__(self, resident_bytes: Callable[[], int] | None = None) -> None:
        self._resident_bytes = resident_bytes or resident_memory
        self._needed_bytes = 0
        self._fresh = True

    def after_step(self) -> None:
        """Returns freed memory if the process holds `MOST_KEPT` times as much as after a step without kept memory."""
        resident = self._resident_bytes()
        if self._fresh:
            self._needed_bytes = max(self._needed_bytes, resident)
        self._fresh = resident > MOST_KEPT * self._needed_bytes
        if self._fresh:
            give_back_freed_memory()


def resident_memory() -> int:
    """Bytes of memory that this process holds; 0 if the system does not report it."""
    with contextlib.suppress(OSError):
        return int(STATISTICS.read_text().split()[1]) * mmap.PAGESIZE
    return 0


def forget_peak() -> None:
    """Resets the peak that `peak_bytes` returns, if the system allows it: one process may run several cells."""
    import torch

    give_back_freed_memory()  # what an earlier cell left is not this one's
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """Peak memory in bytes since `forget_peak`: of the GPU if CUDA is there, else of the process; None if unknown."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
