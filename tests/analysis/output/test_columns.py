"""Which columns a table shows, and whether it fits a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.commands.app import main
from analysis.output.columns import ALL, COLUMNS, DECIDING, headings, shown_rows
from analysis.output.render import to_markdown
from analysis.output.tables import build_table
from analysis.records.load import ResultsError, load_records
from tests.analysis.record_files import cost, make_record, write_record, write_small_sweep

TERMINAL = 120


def test_the_deciding_columns_are_eight_of_all() -> None:
    assert len(DECIDING) == 8
    assert set(DECIDING) <= {column.name for column in COLUMNS}


def test_the_default_table_fits_a_terminal_with_large_numbers_and_long_names(results: Path) -> None:
    long = "multitask_counterfactual+annotation=critique_revision_and_counterfactual+format=multitask_short"
    paid = {"teacher": cost(12_345) | {"calls": 61_725, "prompt_tokens": 9_876_543, "usd": 123.45}}
    costly = [{"index": 0, "annotated": 12_345, "charged": paid, "spent": {}, "validation": {"accuracy": 1.0}}]
    for seed, value in enumerate((0.98, 1.0), 1):
        write_record(results, make_record(long, value=value, seed=seed, cost_estimated=True, rounds=costly))
        write_record(results, make_record(f"{long}_2", value=value, seed=seed))
    table = build_table(load_records(results))
    text = to_markdown(table, DECIDING)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, tables)) <= TERMINAL
    assert f"- [1] {long}\n" in text
    assert f"- [2] {long}_2\n" in text
    names = [line.split("|")[1].strip() for line in tables]
    assert len(set(names)) == len(names)


def test_named_columns_stand_in_their_order_behind_the_method(results: Path) -> None:
    write_record(results, make_record("elad"))
    [block] = build_table(load_records(results)).blocks
    assert headings(block, ("records", "cut %", "METRIC %")) == ["method", "accuracy %", "cut %", "records"]
    ids = {cell_id: "x" for row in block.rows for cell_id in row.record_ids.split()}
    assert [len(row) for row in shown_rows(block, ids, ("records",))] == [2, 2, 2]
    assert "cut %" not in headings(block, ALL)


def test_an_unknown_column_is_named_with_the_nearest(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(results, make_record("elad"))
    assert main(["table", "--results", str(results), "--columns", "gap closed"]) == 2
    assert "there is no column 'gap closed'; did you mean 'gap closed %'?" in capsys.readouterr().err
    with pytest.raises(ResultsError):
        to_markdown(build_table(load_records(results)), ("gold?",))


def test_a_note_of_a_hidden_column_is_hidden_too(results: Path) -> None:
    write_small_sweep(results)
    table = build_table(load_records(results))
    assert "gold: yes" not in to_markdown(table, DECIDING)
    assert "gold: yes" in to_markdown(table, ALL)


def test_trace_names_the_record_behind_every_number(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = write_small_sweep(results)
    assert main(["table", "--results", str(results), "--trace"]) == 0
    text = capsys.readouterr().out
    for record in records:
        if record["status"] == "complete":
            [line] = [
                line for line in text.splitlines()
                if record["cell_id"] in line and not line.startswith("| teacher itself")
            ]  # fmt: skip
            assert f"| {record['test'][0]['value']:.4f} |" in line


@pytest.mark.parametrize("command", [["table"], ["curves"], ["compare", "--baseline", "answer_only"], ["status"]])
def test_json_holds_the_same_rows(results: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    import json

    write_small_sweep(results)
    assert main([*command, "--results", str(results), "--json"]) == 0
    content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    rows = content["cells"] if isinstance(content, dict) else content
    assert {"elad"} <= {row["method"] for row in rows}
