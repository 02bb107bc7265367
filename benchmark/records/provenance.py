"""The origin of results: code, versions and machine. Every record holds it; no cell's identity depends on it."""

from __future__ import annotations

import datetime
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmark import ENGINE_VERSION
from benchmark.records.checkout import git_state
from benchmark.records.device_processor import processor_of
from benchmark.records.schema import GitState, Provenance

PACKAGES = ("distillation-benchmark", "torch", "pytorch-lightning", "transformers", "tokenizers", "hydra-core", "numpy")


def provenance(device: str, threads: int) -> Provenance:
    """Engine, code version, package versions, machine and time of this moment."""
    processor = processor_of(device)
    return Provenance(
        engine_version=ENGINE_VERSION,
        git=_git(),
        packages={name: _version(name) for name in PACKAGES},
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor.name,
        instruction_sets=processor.instruction_sets,
        kernels=processor.kernels,
        device=device,
        threads=threads,
        command=tuple(sys.argv[1:]),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


@cache
def _git() -> GitState:
    """The state when the first cell of the process was finished: the code that runs was read before that."""
    return git_state(Path(__file__).resolve())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
