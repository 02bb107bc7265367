"""The table of explanations: means over questions and then over seeds, and nothing that a cell does not have."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.app import main
from tests.analysis.record_files import make_record, write_record
from tests.analysis.study.study_files import explanations

Capture = pytest.CaptureFixture[str]
FAITHFULNESS = {
    "questions": 10, "unread": 0, "steps": 30, "early_answer_change_now": 0.5,
    "early_answer_change_finish": None, "true_thinking_score": 0.25, "steps_below_0_03": 0.1, "mistake_change": None,
    "swapped": 8, "answer_follows_swap": 0.75,
}  # fmt: skip


def write(results: Path, method: str, seed: int, words: list[int | None], faithful: bool = False) -> None:
    record = make_record(method, seed=seed, dataset="trait_choice")
    if faithful:
        record["test"][0]["faithfulness"] = FAITHFULNESS
    path = write_record(results, record)
    rows = explanations("x", len(words)).assign(
        words=words, wrong_choices_named=[None] * len(words), names_own_answer=[True, None, False, True][: len(words)]
    )
    rows.to_parquet(path.parent / "explanations.parquet")


def test_means_and_intervals_over_seeds(results: Path, capsys: Capture) -> None:
    write(results, "multitask", 1, [2, 4, 6, 8], faithful=True)
    write(results, "multitask", 2, [4, 6, 8, 10])
    write(results, "scott", 1, [1, 1, 1, 1])
    write_record(results, make_record("counterfactual", dataset="trait_choice"))
    assert main(["explanations", "--results", str(results)]) == 0
    out = capsys.readouterr().out
    [multitask] = [line for line in out.splitlines() if line.startswith("| multitask ")]
    cells = [cell.strip() for cell in multitask.strip("|").split("|")]
    assert cells[:3] == ["multitask", "2", "4"]
    assert "6.0 ± 12.7" in cells  # 5 and 7 words; t = 12.7 with one degree of freedom
    assert "66.7 ± 0.0" in cells  # two of three named answers, in both seeds
    assert "75.0" in cells
    assert "wrong choices named" not in out
    assert "added mistakes" not in out
    assert "Without explanations" in out
    assert "counterfactual, seed 1" in out


def test_csv_has_a_row_per_cell(results: Path, capsys: Capture) -> None:
    write(results, "multitask", 1, [2, 4, 6, 8], faithful=True)
    write(results, "multitask", 2, [4, 6, 8, 10])
    assert main(["explanations", "--results", str(results), "--format", "csv"]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(frame["seed"]) == [1, 2]
    assert list(frame["words"]) == [5.0, 7.0]
    assert frame["answer_follows_swap"].isna().tolist() == [False, True]
    assert frame["correct"].tolist() == [pytest.approx(2 / 4)] * 2


def test_simulatability_is_asked_for(results: Path, capsys: Capture) -> None:
    record = make_record("multitask", dataset="trait_choice")
    path = write_record(results, record)
    explanations("x", 30).to_parquet(path.parent / "explanations.parquet")
    assert main(["explanations", "--results", str(results)]) == 0
    assert "LAS" not in capsys.readouterr().out
    assert main(["explanations", "--results", str(results), "--simulatability"]) == 0
    out = capsys.readouterr().out
    assert "LAS, points" in out
    assert "linear simulator on words" in out


def test_no_explanations_is_one_line_with_the_command(results: Path, capsys: Capture) -> None:
    write_record(results, make_record("multitask"))
    assert main(["explanations", "--results", str(results)]) == 2
    assert "python -m benchmark explain RESULTS/CELL" in capsys.readouterr().err


def test_a_file_of_an_older_version_is_named(results: Path, capsys: Capture) -> None:
    path = write_record(results, make_record("multitask"))
    explanations("x", 3).drop(columns="choices").to_parquet(path.parent / "explanations.parquet")
    assert main(["explanations", "--results", str(results)]) == 2
    assert "has no column 'choices': move it away" in capsys.readouterr().err


def test_a_damaged_file_is_named_and_the_other_cells_are_shown(results: Path, capsys: Capture) -> None:
    write(results, "multitask", 1, [2, 4, 6, 8])
    path = write_record(results, make_record("scott", dataset="trait_choice")).parent / "explanations.parquet"
    path.write_bytes(b"half a file")
    assert main(["explanations", "--results", str(results)]) == 1
    captured = capsys.readouterr()
    assert "| multitask |" in captured.out
    assert f"skipped {path}: cannot be read" in captured.err


def test_many_cells_without_explanations_are_counted(results: Path, capsys: Capture) -> None:
    write(results, "multitask", 1, [2, 4])
    for seed in range(22):
        write_record(results, make_record("scott", dataset="trait_choice", seed=seed))
    assert main(["explanations", "--results", str(results)]) == 0
    out = capsys.readouterr().out
    assert out.count("scott, seed") == 20
    assert "; and 2 more." in out
