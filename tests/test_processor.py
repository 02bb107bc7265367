"""Which instruction sets a processor is said to have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import processor

X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_tile amx_bf16\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd sve bf16 svebf16\nCPU part\t: 0xd4f\n"


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    processor.instruction_sets.cache_clear()
    yield
    processor.instruction_sets.cache_clear()


def said_of(content: str | bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    path = folder / "cpuinfo"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(processor, "CPUINFO", path)
    return processor.instruction_sets()


@pytest.mark.parametrize(
    ("content", "sets"),
    [
        (X86, ("amx_bf16", "amx_tile", "avx2", "avx512_bf16", "avx512f")),
        (ARM, ("asimd", "bf16", "sve", "svebf16")),
        ("processor\t: 0\nflags\t\t: fpu avx512_bf16_of_tomorrow\n", ()),  # whole words only
        ("processor\t: POWER9\nclock\t: 3800 MHz\n", ()),
        ("", ()),
        (b"model name\t: \xff\xfe\nflags\t\t: avx2\n", ("avx2",)),
    ],
    ids=["x86", "arm", "no known one", "another kind", "empty", "not UTF-8"],
)
def test_the_sets_are_those_of_the_file(
    content: str | bytes, sets: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said_of(content, tmp_path, monkeypatch) == sets


def test_without_the_file_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "absent", tmp_path):  # a folder cannot be read either
        monkeypatch.setattr(processor, "CPUINFO", path)
        processor.instruction_sets.cache_clear()
        assert processor.instruction_sets() == ()
