"""`python -m analysis plot` and `frontier`: what they write, what they refuse, what they name on standard error."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.app import main
from tests.analysis.output.plots.plot_files import write_cells
from tests.analysis.record_files import make_record, write_record

Capture = pytest.CaptureFixture[str]


def test_missing_files_are_named_and_the_rest_is_drawn(results: Path, tmp_path: Path, capsys: Capture) -> None:
    first, *_ = write_cells(results, ["a", "b"], seeds=(1, 2))
    (first / "predictions.parquet").unlink()
    assert main(["plot", "agreement", "--results", str(results), "--output", str(tmp_path / "agreement")]) == 1
    assert f"skipped {first / 'predictions.parquet'}: is not there" in capsys.readouterr().err
    counts = pd.read_csv(tmp_path / "agreement.csv").set_index(["method", "other"])["pairs"]
    assert counts["b", "b"] == 1
    assert counts["a", "b"] == 1  # of two, one lacks its answers
    assert ("a", "a") not in counts


def test_each_metric_and_block_has_a_picture_of_its_own(results: Path, tmp_path: Path, capsys: Capture) -> None:
    for metric, dataset in (("accuracy", "chain_sum"), ("rouge_l", "dolly")):
        for method in ("a", "b"):
            test = [{"dataset": dataset, "metric": metric, "value": 0.5, "n": 10}]
            config = {"dataset": {"name": dataset}, "format": {"name": "same"}}
            write_record(results, make_record(method, dataset=dataset, test=test, config=config))
    command = ["plot", "critical_difference", "--results", str(results), "--output", str(tmp_path / "ranks.png")]
    assert main(command) == 0
    assert sorted(path.name for path in tmp_path.glob("*.pdf")) == ["ranks-1.pdf", "ranks-2.pdf"]
    assert capsys.readouterr().err.count("wrote ") == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forest"], "forest needs --baseline METHOD"),
        (["forest", "--baseline", "aa"], "did you mean 'a'?"),
        (["cost", "--baseline", "a"], "--baseline a says nothing for cost"),
        (["training", "--cost", "usd"], "--cost usd says nothing for training"),
        (["reliability"], "holds no cell whose weights rest on a probability: run a method that judges"),
        (["training"], "log/metrics.csv: is not there"),
        (["agreement"], "predictions.parquet: is not there"),
        (["frontier", "--cost", "tokens_per_answer"], "are known: choose another --cost"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    results: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    test = [{"dataset": "chain_sum", "metric": "accuracy", "value": 0.5, "n": 10}]
    write_record(results, make_record("a", test=test))
    output = tmp_path / "pictures" / "p"
    assert main(["plot", *arguments, "--results", str(results), "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not output.parent.exists()


@pytest.mark.parametrize("kind", ["frontier", "cost", "curves"])
def test_without_a_record_it_says_what_to_run(results: Path, tmp_path: Path, capsys: Capture, kind: str) -> None:
    assert main(["plot", kind, "--results", str(results), "--output", str(tmp_path / "p")]) == 2
    assert "holds no record: run `python -m benchmark" in capsys.readouterr().err


def test_the_frontier_is_a_table_and_rows(results: Path, capsys: Capture) -> None:
    write_cells(results, ["a", "b"])
    write_record(results, make_record("untrained", 0.01))
    command = ["frontier", "--results", str(results)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if line.startswith("| a ")]
    assert [cell.strip() for cell in line.strip("|").split("|")][2:] == ["10,000 ± 0", "nothing"]
    [line] = [line for line in lines if line.startswith("| untrained student ")]
    assert line.split("|")[-2].strip() == "(reference)"
    assert main([*command, "--format", "csv"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index("method")
    assert main([*command, "--json"]) == 0
    plain = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert plain["a"]["cost_mean"] == rows.loc["a", "cost_mean"] == 10_000
    assert plain["a"]["dominated_by"] is None
    assert plain["b"]["role"] == rows.loc["b", "role"]


def test_the_frontier_is_drawn_beside_its_table(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_cells(results, ["a"], seeds=(1,))
    unknown = make_record("b", test=[{"dataset": "chain_sum", "metric": "accuracy", "value": 0.5, "n": 10}])
    write_record(results, unknown)
    options = ["--cost", "tokens_per_answer", "--plot", str(tmp_path / "f")]
    assert main(["frontier", "--results", str(results), *options]) == 0
    said = capsys.readouterr()
    [line] = [line for line in said.out.splitlines() if line.startswith("| b ")]
    assert line.count("unknown") == 2
    assert "not drawn, because their tokens that the student writes per answer are not known: b" in said.err
    assert sorted(path.name for path in tmp_path.glob("f.*")) == ["f.csv", "f.pdf", "f.png"]
