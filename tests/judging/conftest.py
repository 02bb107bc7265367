"""Two finished cells of one dataset, whose explanations a test writes itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.console.progress import Silent
from benchmark.judging.command import judge_finished
from benchmark.run_cell import run_cell
from tests.corridor.corridor_parts import miniature
from tests.judging import scripted_judge

TEST_QUESTIONS = 8


def finished(folder: Path, *overrides: str) -> Path:
    """The folder of a miniature cell that was run."""
    cell = replace(miniature(*overrides), results_dir=str(folder))
    outcome = run_cell(cell, Silent())
    assert outcome.status == "complete", outcome.message
    return folder / outcome.cell_id


@pytest.fixture(scope="session")
def two_cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two cells of `trait_choice`, without explanations. Tests copy them."""
    folder = tmp_path_factory.mktemp("judged")
    first = finished(folder, "dataset=trait_choice", "method=rationale_then_answer")
    return first, finished(folder, "dataset=trait_choice", "method=answer_only")


@dataclass(frozen=True)
class Said:
    """What a command said to people."""

    lines: list[str]
    table: str

    def row(self, name: str) -> dict[str, str]:
        """A row of the table by its first column."""
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in self.table.splitlines()]
        header = cells[0]
        [row] = [line for line in cells if line[0] == name]
        return dict(zip(header, row, strict=True))


class Spoken(Silent):
    """A display that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, state: str) -> None:
        self.lines.append(state)


@dataclass(frozen=True)
class Judged:
    """Two cells with explanations, and a judge with a script."""

    first: Path
    second: Path
    searchpath: str

    @property
    def results(self) -> Path:
        return self.first.parent

    def explain(
        self, first: Sequence[str], second: Sequence[str], answers: Sequence[str | None] = ("ape", "fan")
    ) -> None:
        """Writes both explanations of the first test questions, one after the other."""
        for folder, texts, answer in zip((self.first, self.second), (first, second), answers, strict=True):
            write_explanations(folder, texts, answer)

    def judge(self, *settings: str, says: str = "longer") -> Said:
        """Runs the command."""
        spoken, told = Spoken(), list[str]()
        scripted_judge.ASKED.clear()
        scripted_judge.IN_FLIGHT.clear()
        arguments = [str(self.first), str(self.second), "teacher=scripted", f"teacher.says={says}", self.searchpath]
        assert judge_finished([*arguments, *settings], spoken, told.append) == 0
        return Said(spoken.lines, "".join(told))

    def files(self) -> list[Path]:
        """The files of judgements."""
        return sorted((self.results / ".judgements").glob("*"))

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the only file of judgements."""
        import pyarrow.parquet

        [file] = self.files()
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
        return rows


def write_explanations(folder: Path, texts: Sequence[str], answer: str | None) -> None:
    ids = pd.read_parquet(folder / "predictions.parquet")["example_id"].tolist()
    rows = [
        {"example_id": each, "answer": answer, "explanation": text, "words": len(text.split())}
        for each, text in zip(ids, texts, strict=False)
    ]
    pd.DataFrame(rows).to_parquet(folder / "explanations.parquet", index=False)


@pytest.fixture
def judged(two_cells: tuple[Path, Path], tmp_path: Path, plugin: Callable[..., str]) -> Judged:
    """Fresh copies of both cells, and the judge as an option of `teacher`."""
    first, second = (tmp_path / "results" / cell.name for cell in two_cells)
    for cell, copy in zip(two_cells, (first, second), strict=True):
        shutil.copytree(cell, copy)
    return Judged(first, second, plugin({}, {"teacher/scripted": scripted_judge.yaml_of()}))
