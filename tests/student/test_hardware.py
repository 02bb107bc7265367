"""Whether a device computes bfloat16, and how slow it is where none does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from benchmark.student import hardware
from benchmark.student.hardware import Bfloat16, bfloat16_on, device_of, slowdown

UNKNOWN = "nothing says that this processor computes bfloat16"


def has(monkeypatch: pytest.MonkeyPatch, *sets: str, gpu: bool = False) -> None:
    """Makes this machine one whose processor has these instruction sets."""
    monkeypatch.setattr(hardware, "instruction_sets", lambda: tuple(sorted(sets)))
    monkeypatch.setattr(hardware, "_may_have_gpu", lambda: gpu)


@pytest.mark.parametrize(
    ("sets", "computes", "because"),
    [
        (("avx2", "avx512f", "avx512_bf16"), True, "this processor has avx512_bf16"),
        (("amx_bf16", "amx_tile", "avx512_bf16"), True, "this processor has amx_bf16 and avx512_bf16"),
        (("asimd", "bf16", "svebf16"), True, "this processor has bf16"),
        (("avx2", "avx512f", "amx_tile"), False, "this processor computes no bfloat16"),
        (("asimd", "sve"), False, "this processor computes no bfloat16"),
        ((), False, UNKNOWN),
    ],
)
@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_a_processor_is_judged_by_its_instruction_sets(
    accelerator: Any, sets: tuple[str, ...], computes: bool, because: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, *sets)
    assert bfloat16_on(accelerator) == Bfloat16(computes, because, "cpu")


@pytest.mark.parametrize(("known", "computes"), [({"avx512_bf16": True}, True), ({"avx2": True}, False), ({}, False)])
def test_where_the_system_has_no_such_file_torch_is_asked(
    known: dict[str, bool], computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch)
    monkeypatch.setattr(hardware.sys, "platform", "win32")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    hardware._sets_known_to_torch.cache_clear()
    try:
        assert bfloat16_on("cpu").computes is computes
    finally:
        hardware._sets_known_to_torch.cache_clear()


@pytest.mark.parametrize("computes", [True, False])
def test_a_gpu_is_asked_and_not_the_processor(computes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, *(() if computes else ("avx512_bf16",)), gpu=True)
    asked: list[dict[str, bool]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **settings: asked.append(settings) or computes)
    hardware._of_cuda.cache_clear()
    try:
        because = f"the GPU (Some GPU) computes {'' if computes else 'no '}bfloat16"
        assert bfloat16_on("auto") == bfloat16_on("gpu") == Bfloat16(computes, because, "cuda")
        assert asked == [{"including_emulation": False}]
        assert bfloat16_on("cpu").computes is not computes
    finally:
        hardware._of_cuda.cache_clear()


def test_mps_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "bf16", gpu=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert not bfloat16_on("auto").computes
    assert bfloat16_on("mps").device == "mps"


def test_a_device_that_is_absent_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "avx512_bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert bfloat16_on("gpu") == Bfloat16(False, "this machine has no gpu", None)


def test_no_gpu_is_looked_for_with_torch_where_there_is_certainly_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "GPU_FILES", ("/dev/absent",))
    monkeypatch.setattr(hardware.sys, "platform", "linux")
    monkeypatch.setattr(hardware, "device_of", lambda accelerator: pytest.fail("torch was asked"))
    assert bfloat16_on("auto").device == "cpu"
    monkeypatch.setattr(hardware, "GPU_FILES", ("/dev/absent", "/dev/null"))
    monkeypatch.setattr(hardware, "device_of", lambda accelerator: torch.device("mps"))
    assert bfloat16_on("auto").device == "mps"


def test_a_product_is_measured_in_both_types() -> None:
    times = slowdown("cpu")
    assert math.isfinite(times)
    assert times > 0
    assert slowdown("cpu") == times  # once per process
    assert device_of("cpu").type == "cpu"
