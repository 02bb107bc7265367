"""The processor behind a device of torch, a CPU or a GPU. What is said of it names no machine and no person."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from benchmark import processor

NAME_LINES = ("model name", "cpu", "uarch")
"""Lines of Linux's file that name a processor: of x86, POWER and RISC-V. ARM has none, and gives numbers."""


@dataclass(frozen=True)
class DeviceProcessor:
    """What computes on a device, and what decides how it rounds."""

    name: str
    """The name of the CPU or GPU."""
    instruction_sets: tuple[str, ...]
    """The instruction sets of a CPU; empty for a GPU, and where nobody can tell."""
    kernels: str | None
    """The variant of its code that torch runs there, such as `AVX512` or `sm_90`; None where torch does not tell."""


def processor_of(device: str) -> DeviceProcessor:
    """The processor of a device, which is named as torch does: `cpu`, `cuda:0`."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return DeviceProcessor(torch.cuda.get_device_name(device), (), _gpu_kernels(device))
    if kind == "cpu":
        return DeviceProcessor(cpu_name(), processor.instruction_sets(), torch.backends.cpu.get_cpu_capability())
    return DeviceProcessor(f"{cpu_name()} ({kind})", (), None)


def _gpu_kernels(device: str) -> str:
    import torch

    if torch.version.hip is not None:
        return str(torch.cuda.get_device_properties(device).gcnArchName).partition(":")[0]
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def cpu_name() -> str:
    """The CPU's name as Linux gives it; else what Python knows, at least the kind, such as `arm64`."""
    lines = processor.lines_of_first_cpu()
    for name in NAME_LINES:
        if lines.get(name):
            return lines[name]
    if {"CPU implementer", "CPU part"} <= lines.keys():
        return f"{platform.machine()} implementer {lines['CPU implementer']} part {lines['CPU part']}"
    return platform.processor() or platform.machine() or "unknown"
