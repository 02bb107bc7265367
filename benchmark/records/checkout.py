"""The commit of the code, or the reason why nobody can tell it. The reasons name no path."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmark.records.schema import GitState

NO_CHECKOUT = "the code is not a git checkout"
REASONS = {
    "dubious ownership": "git refuses: detected dubious ownership, the checkout belongs to another user",
    "not a git repository": NO_CHECKOUT,
    "did not match any file": NO_CHECKOUT,
    "Needed a single revision": "the checkout has no commit yet",
}
"""What git says where it fails -> the reason in a record. Git's own words hold paths, so that they are not kept."""
OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Variables that git sets where it calls a hook; they would make it answer for the repository of that hook."""


def git_state(source: Path) -> GitState:
    """The commit of a source file's checkout, and whether the working tree differs from it; else why it is unknown.

    A file that git does not track is no checkout, although an environment inside of a repository holds it.
    """
    folder = source.parent
    try:
        _run_git(folder, "ls-files", "--error-unmatch", source.name)
        commit = _run_git(folder, "rev-parse", "--verify", "HEAD")
        dirty = bool(_run_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except FileNotFoundError:
        return _unknown("git is not installed")
    except OSError as error:
        return _unknown(f"git cannot be run: {error.strerror}")
    except subprocess.CalledProcessError as error:
        known = [reason for words, reason in REASONS.items() if words in error.stderr]
        return _unknown(known[0] if known else f"git failed with exit status {error.returncode}")
    return GitState(commit=commit, dirty=dirty, unknown=None)


def _unknown(reason: str) -> GitState:
    return GitState(commit=None, dirty=None, unknown=reason)


def _run_git(folder: Path, *words: str) -> str:
    """What git prints, in English whatever the user's language is, because `REASONS` reads it."""
    inherited = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPOSITORY}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        env={**inherited, "LC_ALL": "C"},
    )
    return done.stdout.strip()
