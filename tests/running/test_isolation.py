"""Cells in one process do not meet: what one changes is put back, and the next gives the numbers it gives alone."""

from __future__ import annotations

import contextlib
import gc
import logging
import mmap
import os
import random
import signal
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.running.isolation import isolated
from benchmark.student import memory
from benchmark.student.memory import StepMemory, forget_peak, keep_freed_memory, resident_memory
from tests.cells import Silent

Run = Callable[..., Any]


def state() -> dict[str, Any]:
    """All that a cell may have changed."""
    watched = logging.getLogger("pytorch_lightning")
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "torch": torch.random.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "gradient": torch.is_grad_enabled(),
        "root": (logging.root.level, list(logging.root.handlers)),
        "logger": (watched.level, list(watched.handlers), watched.propagate, watched.disabled),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "hook": sys.excepthook,
    }


def disorder(folder: Path) -> None:
    """Changes all of it."""
    os.environ["PL_GLOBAL_SEED"] = "3"
    os.environ.pop("HOME", None)
    os.chdir(folder)
    random.seed(4)
    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("medium")
    torch.set_grad_enabled(False)
    for logger in (logging.root, logging.getLogger("pytorch_lightning")):
        logger.setLevel(logging.CRITICAL)
        logger.addHandler(logging.FileHandler(folder / "log.txt"))
    logging.getLogger("pytorch_lightning").propagate = False
    warnings.simplefilter("error")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.excepthook = lambda *_: None


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails: bool, tmp_path: Path) -> None:
    logging.getLogger("pytorch_lightning")
    before = state()
    with contextlib.suppress(ZeroDivisionError), isolated():
        disorder(tmp_path)
        if fails:
            raise ZeroDivisionError
    after = state()
    assert {name for name in before if before[name] != after[name]} == set()


def test_a_logger_made_inside_loses_its_handlers(tmp_path: Path) -> None:
    with isolated():
        handler = logging.FileHandler(tmp_path / "log.txt")
        logging.getLogger("made.inside.a.cell").addHandler(handler)
    assert not logging.getLogger("made.inside.a.cell").handlers
    assert handler.stream is None or handler.stream.closed


def test_a_distributed_world_outside_is_not_seen_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    with isolated():
        assert "WORLD_SIZE" not in os.environ
    assert os.environ["WORLD_SIZE"] == "8"


def run(cell: Run, results: Path, *overrides: str) -> Path:
    from benchmark.run_cell import run_cell

    outcome = run_cell(cell((*overrides, f"results_dir={results}")), Silent())
    assert outcome.status == "complete", outcome.message
    return results / outcome.cell_id


def test_a_cell_gives_the_same_alone_and_after_others(cell: Run, miniature: tuple[str, ...], tmp_path: Path) -> None:
    after = tmp_path / "after"
    run(cell, after, *miniature, "method=step_by_step", "optimization.precision=bf16-mixed")
    second = run(cell, after, *miniature)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    alone = run(cell, tmp_path / "alone", *miniature)
    for name in ("predictions.parquet", "annotations.parquet"):
        assert (alone / name).read_bytes() == (second / name).read_bytes()


def test_a_cell_leaves_the_process_as_it_was(cell: Run, miniature: tuple[str, ...], tmp_path: Path) -> None:
    run(cell, tmp_path / "first", *miniature)  # imports change the process once
    before = state()
    run(cell, tmp_path / "second", *miniature)
    after = state()
    assert {name for name in before if before[name] != after[name]} == set()


def test_what_an_earlier_cell_left_in_cycles_is_freed_before_memory_is_measured() -> None:
    class Model:
        def __init__(self) -> None:
            self.trainer = self

    left = weakref.ref(Model())
    gc.disable()
    try:
        assert left() is not None
        forget_peak()
        assert left() is None
    finally:
        gc.enable()


KEPT = """
import torch
from benchmark.student.memory import STATUS, give_back_freed_memory, keep_freed_memory

def resident_bytes():
    return next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:"))

keep_freed_memory()
before = resident_bytes()
tensors = [torch.ones(2**18) for _ in range(256)]  # a megabyte each
last = torch.ones(2**18)  # what lies behind it in memory cannot simply be cut off
del tensors
kept = resident_bytes() - before
give_back_freed_memory()
print(kept, resident_bytes() - before)
"""


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
    reason="another C library keeps nothing",
)
def test_what_a_fit_freed_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 256 * 2**20
    assert left < 32 * 2**20


def test_memory_is_given_back_where_steps_leave_much_more_than_one_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[int] = []
    resident = iter([100, 140, 150, 151, 90, 151, 130, 196, 140, 209, 211])
    steps = StepMemory(lambda: next(resident))
    for step in range(11):
        monkeypatch.setattr(memory, "give_back_freed_memory", lambda now=step: given_back.append(now))
        steps.after_step()
    # What a step needs is the most of any that had to begin without: 100, 100, 130 and 140.
    assert given_back == [3, 5, 7, 10]


MAPPED = 2**27


def test_the_memory_of_this_process_is_told() -> None:
    piece = b"x" * 2**20
    before = resident_memory()
    if before == 0:
        pytest.skip("the system does not tell")
    block = mmap.mmap(-1, MAPPED)  # pages of its own: memory that an earlier cell freed may be resident already
    for _ in range(MAPPED // len(piece)):
        block.write(piece)
    assert abs(resident_memory() - before - MAPPED) < MAPPED // 8
    block.close()
    assert abs(resident_memory() - before) < MAPPED // 8


def test_keeping_freed_memory_is_harmless_where_the_c_library_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", absent)
    keep_freed_memory()
    forget_peak()
