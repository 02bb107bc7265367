"""The origin of results: code, versions and machine. Every record holds it; no cell's identity depends on it."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmark import ENGINE_VERSION
from benchmark.records.schema import GitState, Provenance

PACKAGES = ("distillation-benchmark", "torch", "pytorch-lightning", "transformers", "tokenizers", "hydra-core", "numpy")


def provenance(device: str, threads: int) -> Provenance:
    """Engine, code version, package versions, machine and time of this moment."""
    return Provenance(
        engine_version=ENGINE_VERSION,
        git=_git(),
        packages={name: _version(name) for name in PACKAGES},
        python=platform.python_version(),
        platform=platform.platform(),
        device=device,
        threads=threads,
        command=tuple(sys.argv[1:]),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


@lru_cache(maxsize=1)
def _git() -> GitState | None:
    """The commit, and whether the working tree differs from it; None if the code is not a git checkout."""
    root = Path(__file__).resolve().parents[2]
    try:
        commit = _run_git(root, "rev-parse", "HEAD")
        dirty = bool(_run_git(root, "status", "--porcelain", "--untracked-files=no"))
        return GitState(commit=commit, dirty=dirty)
    except (OSError, subprocess.CalledProcessError):
        return None


def _run_git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
