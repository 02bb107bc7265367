"""The device of a cell, whether it computes bfloat16, and how slow bfloat16 is where it does not.

A processor is judged by its instruction sets, without torch, whose import takes seconds. A GPU is asked through torch,
and only where there may be one.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import ConfigError
from benchmark.processor import instruction_sets, usable_cores
from benchmark.student.settings import Accelerator

if TYPE_CHECKING:
    import torch

BFLOAT16_SETS = ("amx_bf16", "avx512_bf16", "bf16")
"""Instruction sets that multiply bfloat16 matrices: two of x86, one of ARM."""
GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Linux has one of these where it has a GPU: drivers of NVIDIA and AMD, and Windows' subsystem for Linux."""
SMALLEST_PRODUCT, LARGEST_PRODUCT = 256, 8192
"""Rows and columns of the first and of the last matrices that are measured."""
MEASURED_SECONDS = 0.02
"""Products grow until one takes so long."""


@dataclass(frozen=True)
class Bfloat16:
    """Whether a device computes bfloat16."""

    computes: bool
    because: str
    """What says so, as a sentence: `this processor has avx512_bf16`."""
    device: str | None
    """The device's type in torch; None where this machine has no such device."""


def device_of(accelerator: str) -> torch.device:
    """The torch device for an accelerator's name. Raises ConfigError if this machine has no such device."""
    import torch

    if accelerator == "cpu":
        return torch.device("cpu")
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    if accelerator == "auto":
        return torch.device("cpu")
    raise ConfigError(f"trainer.accelerator={accelerator}, but this machine has none; use trainer.accelerator=auto")


def refuse_more_devices(accelerator: Accelerator, devices: int) -> None:
    """Raises ConfigError if a cell wants more devices than this machine has for it: GPUs, or processor cores."""
    if devices == 1:
        return
    import torch

    kind = device_of(accelerator).type
    there = {"cuda": torch.cuda.device_count(), "cpu": usable_cores()}.get(kind, 1)
    if devices > there:
        what = {"cuda": "GPUs", "cpu": "processor cores for this command"}.get(kind, f"device of the kind {kind}")
        raise ConfigError(
            f"trainer.devices={devices}, but this machine has {there} {what}: give trainer.devices={there} or less"
        )


def bfloat16_on(accelerator: Accelerator) -> Bfloat16:
    """Whether the device that `accelerator` chooses here computes bfloat16; no, where this machine has no such device.

    A machine that cannot train a cell may plan it or buy its annotations, so that an absent device is no error here.
    """
    kind = device_type(accelerator)
    if kind is None:
        return Bfloat16(False, f"this machine has no {accelerator}", None)
    if kind == "cuda":
        return _of_cuda()
    if kind == "mps":  # Lightning computes mixed precision on CPUs and CUDA alone
        return Bfloat16(False, "training on mps knows no bfloat16", kind)
    known = instruction_sets() or _sets_known_to_torch()
    found = [name for name in BFLOAT16_SETS if name in known]
    if found:
        return Bfloat16(True, f"this processor has {' and '.join(found)}", kind)
    if not known:
        return Bfloat16(False, "nothing says that this processor computes bfloat16", kind)
    return Bfloat16(False, "this processor computes no bfloat16", kind)


def device_type(accelerator: str) -> str | None:
    """The type of the device that an accelerator's name chooses here; None where this machine has no such device."""
    if accelerator == "cpu" or (accelerator == "auto" and not _may_have_gpu()):
        return "cpu"
    try:
        return device_of(accelerator).type
    except ConfigError:
        return None


def _may_have_gpu() -> bool:
    """False where there is certainly no GPU, so that nobody needs torch to know."""
    return sys.platform != "linux" or any(Path(file).exists() for file in GPU_FILES)


@cache
def _of_cuda() -> Bfloat16:
    import torch

    name = torch.cuda.get_device_name()
    computes = torch.cuda.is_bf16_supported(including_emulation=False)
    return Bfloat16(computes, f"the GPU ({name}) computes {'' if computes else 'no '}bfloat16", "cuda")


@cache
def _sets_known_to_torch() -> tuple[str, ...]:
    """What torch says of an x86 processor where the system has no file that does; ARM outside Linux is no such case."""
    if sys.platform == "linux":
        return ()
    import torch

    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return tuple(name for name in ("amx_bf16", "avx2", "avx512_bf16") if known.get(name))


@cache
def slowdown(device: str) -> float:
    """How many times as long as in float32 a product of bfloat16 matrices takes on a device, by its type in torch.

    The measurement takes less than a second.
    """
    import torch

    def seconds(dtype: torch.dtype, size: int) -> float:
        matrix = torch.ones(size, size, dtype=dtype, device=device)
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # which waits for the device
        return time.perf_counter() - started

    for dtype in (torch.bfloat16, torch.float32):
        seconds(dtype, 64)  # the first product of a kind sets things up
    size = SMALLEST_PRODUCT
    while (in_bfloat16 := seconds(torch.bfloat16, size)) < MEASURED_SECONDS and size < LARGEST_PRODUCT:
        size *= 2  # eight times as long
    return in_bfloat16 / min(seconds(torch.float32, size) for _ in range(2))
