"""`python -m analysis curves` and `compare`, on folders as the engine leaves them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.commands.app import main
from analysis.output.plots.style import short_names
from tests.analysis.record_files import cost, make_record, write_record

LIFT = {"random": 0.0, "better": 0.1}


def rounds(seed: int, lift: float, notes: Mapping[str, float]) -> list[dict[str, Any]]:
    """Three rounds; the value rises with the questions, and by the method's lift."""
    return [
        {
            "index": i, "annotated": bought, "charged": {"teacher": cost(bought)}, "spent": {"teacher": cost(bought)},
            "validation": {"accuracy": 0.1 * (i + 1) + 0.01 * seed + lift}, "notes": dict(notes),
        }
        for i, bought in enumerate((100, 200, 400))
    ]  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for method, lift in LIFT.items():
        for seed in (1, 2, 3):
            notes = {"checked": 10, "flawed": 4, "written": 40, "survived": 30, "flaw_index_sum": 6} if lift else {}
            record = make_record(
                method, 0.5 + lift, seed, rounds=rounds(seed, lift, notes), config={"format": {"name": "same"}}
            )
            write_record(folder, record)
    return folder


def test_csv_has_a_row_per_cell_and_round(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curves", "--results", str(results), "--format", "csv"]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(frame) == 2 * 3 * 3
    row = frame[(frame["method"] == "better") & (frame["seed"] == 2) & (frame["round"] == 1)].iloc[0]
    assert (row["questions"], row["tokens"], row["usd"], row["note_survived"]) == (200, 20_000, 0.12, 30)
    assert row["value"] == pytest.approx(0.32)
    assert set(frame["dataset"]) == {"chain_sum"}


def test_the_table_shows_means_costs_and_what_a_revision_kept(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curves", "--results", str(results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if line.startswith("| better") and "|     2 |" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["better", "2", "200", "200", "20,000", "0.120", "32.0 ± 2.5", "3", "40", "75", "1.5"]


def test_the_difference_is_that_of_the_seeds(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--results", str(results), "--baseline", "random", "--format", "csv"]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(frame["at"]) == {"end", "equal questions", "equal tokens"}
    for _, row in frame.iterrows():
        assert (row["mean"], row["low"], row["pairs"]) == (pytest.approx(0.1), pytest.approx(0.1), 3)
    assert main(["compare", "--results", str(results), "--baseline", "random"]) == 0
    assert "+10.0 ± 0.0*" in capsys.readouterr().out


def test_an_unknown_baseline_names_the_nearest_method(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--results", str(results), "--baseline", "randon"]) == 2
    assert "is no method here; did you mean 'random'? There are: better, random" in capsys.readouterr().err


def test_too_many_unread_answers_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, unread in ((1, 9), (2, 11)):
        notes = {"answers": 100, "unread_answers": unread}
        write_record(tmp_path / "results", make_record("m", seed=seed, rounds=rounds(seed, 0.0, notes)[:1]))
    assert main(["curves", "--results", str(tmp_path / "results")]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "means nothing" in line]
    assert len(said) == 1
    assert "round 1 of m, seed 2: 11% of the student's answers could not be read" in said[0]
    assert main(["table", "--results", str(tmp_path / "results")]) == 0
    assert said[0] in capsys.readouterr().out


def test_the_picture_and_its_points_are_written(results: Path, tmp_path: Path) -> None:
    for name, stem in (("fig.png", "fig"), ("active_0.5", "active_0.5")):
        assert main(["curves", "--results", str(results), "--plot", str(tmp_path / stem / name)]) == 0
        assert {path.name for path in (tmp_path / stem).iterdir()} == {
            f"{stem}{end}" for end in (".png", ".pdf", ".csv")
        }
        assert len(pd.read_csv(tmp_path / stem / f"{stem}.csv")) == 18


def test_records_without_counted_rounds_are_said_and_a_block_without_the_baseline_is_left_out(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = [{key: value for key, value in log.items() if key != "annotated"} for log in rounds(1, 0.0, {})]
    write_record(tmp_path / "old", make_record("m", rounds=bare))
    assert main(["curves", "--results", str(tmp_path / "old")]) == 2
    assert "holds no finished cell with rounds" in capsys.readouterr().err
    config = {"dataset": {"name": "trait_choice"}, "format": {"name": "same"}}
    alone = make_record("alone", seed=9, rounds=rounds(9, 0.0, {}), dataset="trait_choice", config=config)
    write_record(results, alone)
    assert main(["compare", "--results", str(results), "--baseline", "random"]) == 0
    shown = capsys.readouterr().out
    assert "trait_choice" not in shown
    assert "Fewer than 3" not in shown
    assert main(["compare", "--results", str(results), "--baseline", "alone", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("dataset,student,teacher,baseline,method,at,mean")


def test_labels_in_the_picture_leave_out_what_all_share() -> None:
    assert short_names(["a+x=1", "a+x=1+s=2", "a+x=1+s=3"]) == ("a+x=1", ["nothing else", "s=2", "s=3"])
    assert short_names(["a", "b"]) == ("", ["a", "b"])
    assert short_names(["a+x=1"]) == ("", ["a+x=1"])


def test_too_few_pairs_of_curves_are_said_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three seeds were tested, and only one has more than one point to compare."""
    for method in ("random", "better"):
        for seed in (1, 2, 3):
            of_seed = rounds(seed, 0.0, {})[: 3 if seed == 1 else 1]
            config = {"format": {"name": "same"}}
            write_record(tmp_path / "results", make_record(method, 0.5, seed, rounds=of_seed, config=config))
    assert main(["compare", "--results", str(tmp_path / "results"), "--baseline", "random"]) == 0
    assert "Fewer than 3 pairs" in capsys.readouterr().out


def test_methods_that_bought_less_than_the_baseline_are_named(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--results", str(results), "--baseline", "random"]) == 0
    assert "equal budget" not in capsys.readouterr().out
    for seed in (1, 2, 3):
        config = {"format": {"name": "same"}}
        write_record(results, make_record("thrifty", 0.5, seed, rounds=rounds(seed, 0.0, {})[:2], config=config))
    assert main(["compare", "--results", str(results), "--baseline", "random"]) == 0
    [note] = [line for line in capsys.readouterr().out.splitlines() if "equal budget" in line]
    assert "thrifty bought 200 questions where random bought 400" in note


def test_methods_stand_in_the_order_of_the_numbers_in_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("m+share=9", "m+share=10"):
        config = {"format": {"name": "same"}}
        write_record(tmp_path / "results", make_record(method, rounds=rounds(1, 0.0, {}), config=config))
    assert main(["curves", "--results", str(tmp_path / "results")]) == 0
    shown = capsys.readouterr().out
    assert shown.index("share=9 ") < shown.index("share=10 ")
