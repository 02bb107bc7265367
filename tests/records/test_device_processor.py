"""What a record says of the processor that computed a student."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmark import processor
from benchmark.records import provenance as origin
from benchmark.records.device_processor import DeviceProcessor, cpu_name, processor_of
from benchmark.records.provenance import provenance
from benchmark.records.schema import GitState, Provenance

REPOSITORY = Path(__file__).resolve().parents[2]
X86 = "processor\t: 0\nmodel name\t: Some(R) CPU   @ 2.0GHz\nflags\t\t: fpu avx2\n\nmodel name\t: Another\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n\nSerial\t\t: 00c0ffee\n"
POWER = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nmachine\t\t: PowerNV 8335\n"


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    processor.instruction_sets.cache_clear()
    yield
    processor.instruction_sets.cache_clear()


def with_cpuinfo(content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cpuinfo").write_bytes(content)
    monkeypatch.setattr(processor, "CPUINFO", folder / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(platform, "processor", lambda: "")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (X86.encode(), "Some(R) CPU @ 2.0GHz"),
        (ARM.encode(), "aarch64 implementer 0x41 part 0xd4f"),
        (POWER.encode(), "POWER9, altivec supported"),
        (b"model name\t:\nhart\t: 0\n", "aarch64"),
        (b"", "aarch64"),
        (b"\x00model name\t: a\nmodel name\t: b\xff\n", "b\ufffd"),
    ],
    ids=["x86", "arm", "power", "an empty name", "an empty file", "not UTF-8"],
)
def test_a_cpu_has_the_name_that_its_file_gives(
    content: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cpuinfo(content, tmp_path, monkeypatch)
    assert cpu_name() == name


def test_without_the_file_python_names_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    for known, name in (("Intel64 Family 6", "Intel64 Family 6"), ("", "arm64")):
        monkeypatch.setattr(platform, "processor", lambda known=known: known)
        assert cpu_name() == name


def test_a_cpu_computes_with_the_kernels_that_torch_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cpuinfo(ARM.encode(), tmp_path, monkeypatch)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "SVE256")
    found = processor_of("cpu")
    assert found == DeviceProcessor("aarch64 implementer 0x41 part 0xd4f", ("asimd", "sve"), "SVE256")


def test_a_gpu_has_its_own_name_and_no_sets_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device[-1]}")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert processor_of("cuda:1") == DeviceProcessor("GPU 1", (), "sm_90")
    monkeypatch.setattr(torch.version, "hip", "6.0")
    properties = SimpleNamespace(gcnArchName="gfx90a:sramecc+:xnack-")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert processor_of("cuda:0") == DeviceProcessor("GPU 0", (), "gfx90a")


def test_another_device_is_named_after_the_chip_that_it_is_part_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cpuinfo(b"", tmp_path, monkeypatch)
    assert processor_of("mps:0") == DeviceProcessor("aarch64 (mps)", (), None)


# --- in a record ------------------------------------------------------------------------------------------------------


def test_a_record_says_what_computed_it() -> None:
    told = provenance("cpu", 1)
    assert told.processor == cpu_name()
    assert told.instruction_sets == processor.instruction_sets()
    assert told.kernels == torch.backends.cpu.get_cpu_capability()
    assert Provenance.model_validate(json.loads(json.dumps(told.as_json()))) == told


def test_a_record_names_no_host_no_user_and_no_path() -> None:
    new = ("git", "processor", "instruction_sets", "kernels")
    text = json.dumps({name: value for name, value in provenance("cpu", 1).as_json().items() if name in new})
    home = os.path.expanduser("~")
    for private in (socket.gethostname(), platform.node(), home, str(REPOSITORY)):
        assert private not in text


def test_what_a_record_says_fits_in_a_few_words() -> None:
    everything = Provenance(processor="P", instruction_sets=("avx2", "avx512f"), kernels="AVX512")
    assert everything.computed_on == "P (avx2, avx512f; AVX512 kernels)"
    assert Provenance(processor="GPU", kernels="sm_90").computed_on == "GPU (sm_90 kernels)"
    assert Provenance(processor="P").computed_on == "P"
    assert Provenance(kernels="AVX2").computed_on is None


@pytest.mark.parametrize(
    ("content", "git", "text"),
    [
        ({}, None, None),
        ({"git": None, "device": "cpu"}, None, None),
        ({"git": {"commit": "ab" * 20, "dirty": True}}, "ab" * 20, "commit abababababab, with changes"),
        ({"git": {"commit": None, "dirty": None}}, None, "commit unknown: the record does not say why"),
    ],
    ids=["no field", "null", "an older commit", "a commit without a reason"],
)
def test_older_records_are_read(content: dict[str, object], git: str | None, text: str | None) -> None:
    told = Provenance.model_validate(content)
    assert (told.processor, told.instruction_sets, told.kernels, told.computed_on) == (None, (), None, None)
    assert told.as_json() == content
    state = told.git or GitState(commit=None, dirty=None)
    assert state.commit == git
    assert text is None or state.text == text


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="the code lies in no checkout")
def test_a_refusal_of_git_stands_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no such file"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setattr(origin, "_git", origin._git.__wrapped__)  # the process keeps what it was answered before
    told = provenance("cpu", 1).as_json()["git"]
    assert told.pop("unknown").startswith("git refuses: detected dubious ownership")
    assert told == {"commit": None, "dirty": None}
