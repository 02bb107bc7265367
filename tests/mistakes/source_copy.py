"""A copy of the repository's source in which a mistake can be made, and pytest run on what stands there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mistakes.table import Edit
from tests.mistakes.verdicts import ASSERTED, PASSED

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = ("benchmark", "methods", "hydra_plugins", "conf", "analysis", "tests", "pyproject.toml")
LONGEST = 600
"""Seconds that one run of pytest may take."""


@dataclass(frozen=True)
class Verdict:
    """What became of the named tests. `by_case` names every case of a parametrised test; `output` is pytest's."""

    by_case: Mapping[str, str]
    errors: Sequence[str]
    output: str = field(repr=False)

    def of(self, test: str) -> list[str]:
        """The verdicts over all cases of a test."""
        return [verdict for case, verdict in self.by_case.items() if case.partition("[")[0] == test]

    def broken(self) -> list[str]:
        """Whatever says neither yes nor no: code that is not the copy's, tests that cannot be collected or broke."""
        known = (PASSED, ASSERTED)
        return [*self.errors, *(f"{case} {word}" for case, word in self.by_case.items() if word not in known)]


class SourceCopy:
    """The source in a folder of its own. `edit` makes mistakes in it, `run` tries tests on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True)
        for name in SOURCE:
            here, there = REPOSITORY / name, self.folder / name
            if here.is_dir():
                # Compiled files go by seconds and sizes, so that an old one could stand for a file edited at once.
                shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy(here, there)

    def edit(self, edits: Sequence[Edit]) -> None:
        """Makes every edit."""
        for edit in edits:
            (self.folder / edit.file).write_text(edited(self.folder, edit), encoding="utf-8")

    def remove(self) -> None:
        """Leaves nothing behind; dozens of copies would otherwise outlive the proof."""
        shutil.rmtree(self.folder)

    def run(self, tests: Sequence[str]) -> Verdict:
        """Tries the tests in a process that sees this copy and not the installed package."""
        file = self.folder / "verdicts.json"
        plugins = ("-p", "no:cacheprovider", "-p", "tests.mistakes.verdicts", "--verdicts", str(file))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        ours = {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=short", *plugins, *tests],
            cwd=self.folder,
            env=inherited | ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert file.is_file(), f"pytest did not run in the copy:\n{done.stdout}"
        found = json.loads(file.read_text(encoding="utf-8"))
        assert Path(found["benchmark"]).is_relative_to(self.folder), f"{found['benchmark']} was tried, not the copy"
        return Verdict(found["tests"], found["errors"], done.stdout)


def edited(root: Path, edit: Edit) -> str:
    """The file's text after the edit. Fails with the file's name where the text to replace is not there once."""
    path = root / edit.file
    assert path.is_file(), f"{edit.file} is gone: tests/mistakes/table.py must follow"
    text = path.read_text(encoding="utf-8")
    count = text.count(edit.old)
    assert count == 1, f"{edit.file} holds {edit.old!r} {count} times: tests/mistakes/table.py must follow"
    return text.replace(edit.old, edit.new)
