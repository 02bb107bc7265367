"""What the tests of the command line, of the configs and of the runs share."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests import cells
from tests.cells import composed_cell, composed_config
from tests.compositions import composed_once

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.cell.cell import Cell

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")
REPOSITORY = Path(__file__).resolve().parents[1]
MINIATURE = (
    "dataset.pool_size=40",
    "dataset.validation_size=8",
    "dataset.test_size=16",
    "optimization.max_steps=4",
    "budget.questions=20",
    "student.max_new_tokens=16",
    "trainer.save_student=false",
)


_modules_before = 0


@pytest.fixture(autouse=True)
def _what_imports_made_is_no_garbage() -> None:
    """Takes what stands before a test out of Python's search for garbage, wherever modules were imported since.

    A fit searches all objects for what stands in cycles. Those of the libraries, half a million, and of the collected
    tests would make the search take longer than the fit; what tests make themselves is searched and freed as ever.
    """
    global _modules_before
    if len(sys.modules) != _modules_before:
        gc.collect()
        gc.freeze()
        _modules_before = len(sys.modules)


@pytest.fixture(scope="session", autouse=True)
def _composed_once() -> Iterator[None]:
    """Hydra composes the same config once per process."""
    with composed_once():
        yield


@dataclass(frozen=True)
class Command:
    """How a command ended: exit status, standard output and standard error."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that a refused command prints; fails where there is not exactly one."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


@dataclass(frozen=True)
class Results:
    """A results folder, as tests look at it."""

    path: Path

    def cells(self) -> set[str]:
        """The ids of the cells that stand there, whatever their state."""
        return {folder.name for folder in self._folders()}

    def records(self) -> list[dict[str, Any]]:
        """The records, by id."""
        folders = sorted(self._folders())
        return [json.loads((folder / "record.json").read_text(encoding="utf-8")) for folder in folders]

    def record(self) -> dict[str, Any]:
        """The only record."""
        [record] = self.records()
        return record

    def table(self, cell_id: str, name: str = "predictions") -> Any:
        """A Parquet table of a cell as a pandas frame."""
        import pandas as pd

        return pd.read_parquet(self.path / cell_id / f"{name}.parquet")

    def times(self) -> dict[str, int]:
        """When each record was written: equal before and after a command that made nothing anew."""
        return {folder.name: (folder / "record.json").stat().st_mtime_ns for folder in self._folders()}

    def _folders(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return [path for path in self.path.iterdir() if path.is_dir() and not path.name.startswith(".")]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `benchmark`, `methods`, `analysis` and `conf`."""
    return REPOSITORY


@pytest.fixture(scope="session")
def miniature() -> tuple[str, ...]:
    """Overrides that make a cell of a generated dataset take less than a second."""
    return MINIATURE


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Where `command` and `run_cli` put their cells."""
    return Results(tmp_path / "results")


@pytest.fixture(scope="session")
def compose() -> Callable[[Sequence[str]], DictConfig]:
    """Composes the config of overrides in this process, with its `hydra` node."""
    return composed_config


@pytest.fixture(scope="session")
def read() -> Callable[[DictConfig], Cell]:
    """Reads the cell of a composed config in this process."""
    return cells.read


@pytest.fixture(scope="session")
def cell() -> Callable[[Sequence[str]], Cell]:
    """Composes and reads the cell of overrides in this process."""
    return composed_cell


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Command]:
    """Runs `python -m benchmark ARGUMENTS` in this process, in an empty folder, as a new process would run it."""
    from benchmark.app import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Command:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
        before = os.environ.pop("HYDRA_FULL_ERROR", None)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        finally:
            os.environ.pop("HYDRA_FULL_ERROR", None)  # `main` sets it and leaves it, which a next call would obey
            if before is not None:
                os.environ["HYDRA_FULL_ERROR"] = before
        return Command(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m benchmark ARGUMENTS` in a process of its own: slow, for what a process alone can show."""

    def run(
        *arguments: str, cwd: Path = tmp_path, python: Sequence[str] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
        paths = [environment.pop("PYTHONPATH", ""), str(REPOSITORY)]
        return subprocess.run(
            [sys.executable, *python, "-m", "benchmark", *arguments],
            cwd=cwd,
            env=inherited | environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a package of methods outside the repository; returns the override that adds its configs.

    `modules` are Python files by name (unique in the whole test run: modules are never forgotten), `configs` YAML
    files by path below the folder. The folder is importable here and, by PYTHONPATH, in processes started from here.
    """

    def write(modules: Mapping[str, str], configs: Mapping[str, str], folder: Path = tmp_path / "elsewhere") -> str:
        for name, text in modules.items():
            _write(folder / name, text)
        for name, text in configs.items():
            _write(folder / "conf" / f"{name}.yaml", text)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        return f"hydra.searchpath=[{folder / 'conf'}]"

    return write


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.fixture(scope="session")
def write_rows() -> Callable[[Path, Sequence[Any]], Path]:
    """Writes JSON lines; a text stands as it is, so that a line can be wrong."""

    def write(path: Path, rows: Sequence[Any]) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def sum_rows() -> Callable[..., list[dict[str, Any]]]:
    """Rows of a word-problem dataset: `count` questions about apples whose ids start with `split`."""

    def rows(split: str, count: int, start: int = 0) -> list[dict[str, Any]]:
        return [
            {
                "id": f"{split}-{i}",
                "question": f"Ann has {i} apples and gets 2.\nHow many?",
                "choices": None,
                "answer": str(i + 2),
                "rationale": f"{i}+2={i + 2}",
            }
            for i in range(start, start + count)
        ]

    return rows


@pytest.fixture(scope="session")
def write_svamp(
    write_rows: Callable[..., Path], sum_rows: Callable[..., list[dict[str, Any]]]
) -> Callable[..., tuple[str, ...]]:
    """Writes a tiny dataset and a recorded teacher in SVAMP's layout; returns the overrides that use them.

    `train`, `test` and `teacher` replace the rows of a file; None leaves the file out.
    """
    default: Any = object()

    def write(folder: Path, train: Any = default, test: Any = default, teacher: Any = default) -> tuple[str, ...]:
        pool, end = sum_rows("train", 24), sum_rows("test", 8, start=50)
        spoken = [{"id": row["id"], "rationale": row["rationale"], "answer": row["answer"]} for row in (*pool, *end)]
        files = {"train": (train, pool), "test": (test, end), "teacher_palm540b": (teacher, spoken)}
        for name, (given, usual) in files.items():
            rows = usual if given is default else given
            if rows is not None:
                write_rows(folder / "svamp" / f"{name}.jsonl", rows)
        return (
            "dataset=svamp",
            "teacher=palm540b",
            f"data_dir={folder}",
            "dataset.validation_size=4",
            "budget.questions=8",
            "optimization.max_steps=4",
            "student.max_new_tokens=16",
            "trainer.save_student=false",
        )

    return write
