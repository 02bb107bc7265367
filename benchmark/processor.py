"""What this machine's processor computes, and with how many cores, read without torch, whose import takes seconds."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
"""Linux says here what each processor can do; other systems have no such file."""
KNOWN = frozenset(
    ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve", "bf16", "svebf16")
)
"""The sets on which the speed and the rounding of matrix products depend, by their names in Linux: x86, then ARM."""


@cache
def instruction_sets() -> tuple[str, ...]:
    """The sets of `KNOWN` that this processor has, sorted; empty where nobody can tell, as on macOS and Windows."""
    lines = lines_of_first_cpu()
    sets = lines.get("flags") or lines.get("Features") or ""  # of x86 or ARM; Linux shows what all processors have
    return tuple(sorted(KNOWN.intersection(sets.split())))


def usable_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lines_of_first_cpu() -> dict[str, str]:
    """Name -> value; empty where there is no file. It holds serial numbers on some boards, so it is never copied."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.splitlines()]
    return {name.strip(): " ".join(value.split()) for name, _, value in reversed(pairs)}
