"""The most memory that a cell took."""

from __future__ import annotations

import contextlib
from pathlib import Path

STATUS = Path("/proc/self/status")


def forget_peak() -> None:
    """Starts a new measurement, where the system allows it; processes that run several cells need it."""
    import torch

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
