"""Further test sets from the command line to the table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.records.catalog import cell_on_disk

Run = Callable[..., Any]
SMALL = {"dataset/few": "defaults: [/dataset/chain_sum_long@_here_, _self_]\nname: few\ntest_size: 6\n"}


def tabulated(results: Any, capsys: pytest.CaptureFixture[str], form: str) -> str:
    from analysis.commands.app import main

    assert main(["table", "--results", str(results.path), "--format", form]) == 0
    return capsys.readouterr().out


def test_a_sweep_over_the_list_with_its_references_and_tables(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = (
        "-m",
        plugin({}, SMALL),
        *miniature,
        "method=answer_only,rationale_then_answer",
        "evaluation.extra=[few],[]",
    )
    planned = command(*sweep, "mode=plan")
    assert planned.status == 0, planned.err
    assert planned.out.count("evaluation.extra=[few]") == planned.out.count("evaluation.extra=[]") == 3
    done = command(*sweep)
    assert done.status == 0, done.err
    records = results.records()
    tested = sorted((record["method"], [test["dataset"] for test in record["test"]]) for record in records)
    assert tested == sorted(
        (method, sets)
        for method in ("answer_only", "rationale_then_answer", "untrained")
        for sets in (["chain_sum"], ["chain_sum", "few"])
    )
    assert "6 cells, 6 complete, 0 to run" in command(*sweep).err

    rows = list(csv.DictReader(io.StringIO(tabulated(results, capsys, "csv"))))
    transfer = {row["name"]: row for row in rows if row["test_dataset"] == "few"}
    assert set(transfer) == {"untrained student", "teacher itself", "answer_only", "rationale_then_answer"}
    assert transfer["teacher itself"]["mean"] == ""
    assert {row["test_examples"] for row in transfer.values()} == {"", "6"}
    assert transfer["rationale_then_answer"]["reasoning_accuracy"] == "0.0"
    assert transfer["answer_only"]["reasoning_accuracy"] == ""
    shown = tabulated(results, capsys, "markdown")
    assert "### chain_sum, tested on few: student tiny, teacher simulated (6 test questions)" in shown

    later = command(*sweep, "mode=plan", "seed=2")
    assert later.status == 0, later.err


def test_the_curves_and_the_last_line_tell_the_cells_own_score(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    done = command(plugin({}, SMALL), *miniature, "evaluation.extra=[few]")
    assert done.status == 0, done.err
    record = results.record()
    [curve] = [
        row
        for row in csv.DictReader((results.path / record["cell_id"] / "log" / "metrics.csv").open())
        if row["test/accuracy"]
    ]
    own, extra = record["test"]
    assert (float(curve["test/accuracy"]), float(curve["test/few/accuracy"])) == (own["value"], extra["value"])
    assert f"of {own['n']} in" in command(plugin({}, SMALL), *miniature, "evaluation.extra=[few]").err


def test_damaged_predictions_of_a_further_test_set_are_noticed(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    command(plugin({}, SMALL), *miniature, "evaluation.extra=[few]")
    record = results.record()
    assert {"annotations.parquet", "predictions.parquet", "predictions-few.parquet"} <= set(record["files"])
    path = Path(results.path) / record["cell_id"] / "predictions-few.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    state = cell_on_disk(results.path, record["cell_id"])
    assert state.status == "damaged"
    assert "predictions-few.parquet" in str(state.problem)
