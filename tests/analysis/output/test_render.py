"""The four formats."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.output.columns import headings, shown_rows
from analysis.output.render import FORMATS, latex_escaped, markdown_table, render
from analysis.output.tables import build_table
from analysis.records.load import load_records
from tests.analysis.record_files import Record, make_record, write_record, write_small_sweep


@pytest.fixture
def sweep(results: Path) -> Path:
    write_small_sweep(results)
    return results


def rendered(results: Path, format_name: str) -> str:
    return render(build_table(load_records(results)), format_name)


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_holds_every_row(sweep: Path, format_name: str) -> None:
    text = rendered(sweep, format_name)
    names = ["untrained student", "teacher itself", "answer_only", "elad", "gold_answers"]
    for name in names:
        assert (latex_escaped(name) if format_name == "latex" else name) in text
    assert text.endswith("\n")


@pytest.mark.parametrize("format_name", ["markdown", "latex", "html"])
def test_failed_cells_and_notes_are_in_every_format_for_people(sweep: Path, format_name: str) -> None:
    text = rendered(sweep, format_name)
    assert "the loss became NaN at step 12" in text
    assert "over seeds only" in text


def test_markdown_is_aligned(sweep: Path) -> None:
    lines = [line for line in rendered(sweep, "markdown").split("\n\n")[1].splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 5
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "| **91.3 ± 3.8** |" in lines[-2]


def test_markdown_keeps_a_bar_inside_its_cell() -> None:
    assert markdown_table(["method", "n"], [["a|b", "1"]]).splitlines()[-1] == "| a\\|b   |   1 |"


def test_csv_holds_raw_numbers_and_full_ids(sweep: Path) -> None:
    frame = pd.read_csv(io.StringIO(rendered(sweep, "csv")))
    elad = frame[frame["name"] == "elad"].iloc[0]
    assert elad["mean"] == pytest.approx((0.90 + 0.91 + 0.93) / 3)
    assert elad["high"] - elad["mean"] == pytest.approx(elad["mean"] - elad["low"])
    assert all(len(cell_id) == 32 for cell_id in elad["record_ids"].split())
    assert not frame.duplicated(["dataset", "test_dataset", "metric", "student", "teacher", "name"]).any()


def test_html_is_well_formed_and_escaped(results: Path) -> None:
    write_record(results, make_record("<script>alert(1)</script>", student='a"b&c'))
    page = rendered(results, "html")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "src=" not in page
    assert "href=" not in page
    assert _unclosed(page) == []


def _unclosed(page: str) -> list[str]:
    """Tags that are opened and not closed, or closed out of order."""
    void = {"meta", "br"}
    stack: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in void:
                stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert stack.pop() == tag

    Reader().feed(page)
    return stack


def test_latex_is_escaped_and_every_row_has_its_columns(results: Path) -> None:
    write_record(results, make_record("a_b&50%", student="x#y"))
    text = rendered(results, "latex")
    assert r"a\_b\&50\%" in text
    assert r"x\#y" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert {line.replace(r"\&", "").count("&") for line in body} == {15}
    assert all(text.count(rule) == 1 for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_estimates_are_marked_and_exact_costs_are_not(results: Path) -> None:
    write_record(results, make_record("elad", cost_estimated=True))
    write_record(results, make_record("srd"))
    lines = {line.split()[1]: line for line in rendered(results, "markdown").splitlines() if line.startswith("| ")}
    assert "~100,000 | ~0.12" in " ".join(lines["elad"].split())
    assert "~" not in lines["srd"]


def test_only_failed_cells_give_a_table_that_says_so(results: Path) -> None:
    write_record(results, make_record("elad", status="failed", error="no memory"))
    text = rendered(results, "markdown")
    assert "No cell is complete yet." in text
    assert "no memory" in text


@pytest.mark.parametrize("format_name", ["markdown", "latex", "html"])
def test_reasoning_has_columns_only_in_blocks_that_know_of_it(results: Path, format_name: str) -> None:
    write_record(results, make_record("elad", dataset="gsm8k"))
    assert "right reasoning" not in rendered(results, format_name)
    record = make_record("elad")
    record["test"][0] |= {"reasoning_accuracy": 0.625, "right_answer_wrong_reasoning": 0.125}
    write_record(results, record)
    text = rendered(results, format_name)
    assert text.count("wrong behind right") == 2  # one block and the note
    assert "62.5" in text
    assert "12.5" in text


def test_every_row_has_as_many_cells_as_there_are_columns(results: Path) -> None:
    record = make_record("elad")
    record["test"][0] |= {"reasoning_accuracy": 0.625, "right_answer_wrong_reasoning": None}
    write_record(results, record)
    [block] = build_table(load_records(results)).blocks
    assert {len(row) for row in shown_rows(block, {record["cell_id"]: "x"})} == {len(headings(block))}
    place = headings(block).index("right reasoning %")
    assert [row[place : place + 2] for row in shown_rows(block, {record["cell_id"]: "x"})][-1] == ["62.5", "-"]


def with_cut(record: Record, truncated: int) -> Record:
    record["test"][0]["outcomes"] = {"right": 400, "truncated": truncated, "unread": 0, "wrong": 100 - truncated}
    return record


@pytest.mark.parametrize("format_name", ["markdown", "latex", "html"])
def test_cut_answers_have_a_column_and_a_note_only_where_there_are_some(results: Path, format_name: str) -> None:
    shown = latex_escaped("cut %") if format_name == "latex" else "cut %"
    write_record(results, make_record("older"))
    write_record(results, with_cut(make_record("elad"), 0))
    write_record(results, with_cut(make_record("elad", dataset="svamp"), 0))
    assert shown not in rendered(results, format_name)
    write_record(results, with_cut(make_record("srd"), 31))
    text = rendered(results, format_name)
    assert text.count(shown) == 2  # one block and the note
    assert "6.2" in text


def test_an_older_record_has_an_empty_cell_beside_cut_answers(results: Path) -> None:
    for record in (make_record("older"), with_cut(make_record("elad"), 0), with_cut(make_record("srd"), 31)):
        record["test"][0] |= {"reasoning_accuracy": 0.625}
        write_record(results, record)
    [block] = build_table(load_records(results)).blocks
    rows = shown_rows(block, {cell_id: "x" for row in block.rows for cell_id in row.record_ids.split()})
    place = headings(block).index("cut %")
    assert headings(block)[place - 1 : place + 2] == ["gap closed %", "cut %", "right reasoning %"]
    assert {row[0]: row[place : place + 2] for row in rows if row[0] in ("older", "elad", "srd")} == {
        "older": ["-", "62.5"],
        "elad": ["0.0", "62.5"],
        "srd": ["6.2", "62.5"],
    }
    assert {len(row) for row in rows} == {len(headings(block))}


def sampled(majority: float, pass_rate: float, *sizes: int) -> dict[str, dict[str, float]]:
    at = [str(size) for size in sizes]
    return {"majority_at": {m: majority for m in at}, "pass_at": {m: pass_rate for m in at}}


@pytest.mark.parametrize("format_name", ["markdown", "html", "latex"])
def test_columns_of_sampled_answers_stand_only_where_some_row_has_them(results: Path, format_name: str) -> None:
    write_record(results, with_samples(make_record("elad"), {"majority_at": None, "pass_at": None}))
    write_record(results, make_record("older than samples"))
    assert "@k" not in rendered(results, format_name)
    write_record(results, with_samples(make_record("srd"), sampled(0.625, 0.875, 1, 2, 8)))
    text = rendered(results, format_name)
    assert "majority@k" in text
    assert "62.5" in text
    assert "87.5" in text


def with_samples(record: Record, of_samples: Mapping[str, Any]) -> Record:
    record["test"] = [{**record["test"][0], **of_samples}]
    return record


def test_a_row_shows_the_largest_sample_and_others_nothing(results: Path) -> None:
    write_record(results, make_record("elad"))
    for seed, share in ((1, 0.5), (2, 0.75)):
        of_samples = sampled(0.1, 0.2, 1, 2, 4) | {"majority_at": {"1": 0.0, "2": 0.0, "4": share, "10": share}}
        of_samples["pass_at"] = {"1": 0.0, "2": 0.0, "4": 0.0, "10": 1.0}
        write_record(results, with_samples(make_record("srd", seed=seed), of_samples))
    frame = build_table(load_records(results)).frame.set_index("name")
    columns = ["samples_per_question", "majority_at_k", "pass_at_k"]
    assert list(frame.loc["srd", columns]) == [10, pytest.approx(0.625), 1.0]
    assert frame.loc["elad", columns].isna().all()
    lines = {line.split()[1]: line for line in rendered(results, "markdown").splitlines() if line.startswith("| ")}
    assert [cell.strip() for cell in lines["srd"].split("|")][3:6] == ["62.5", "100.0", "10"]
    assert [cell.strip() for cell in lines["elad"].split("|")][3:6] == ["-", "-", "-"]
    assert lines["srd"].count("|") == lines["elad"].count("|") == lines["method"].count("|")


def test_steps_stand_apart_where_a_student_was_thrown_away(results: Path) -> None:
    elad = make_record("elad")
    write_record(results, {**elad, "train": {**elad["train"], "final_student_steps": 1500}})
    write_record(results, make_record("older than rounds"))
    assert "steps" not in rendered(results, "markdown")
    srd = make_record("srd")
    write_record(results, {**srd, "train": {**srd["train"], "optimiser_steps": 4500, "final_student_steps": 1500}})
    block = build_table(load_records(results)).blocks[0]
    place = headings(block).index("student steps")
    assert headings(block)[place + 1] == "all steps"
    rows = {
        row[0]: row for row in shown_rows(block, {cell: "x" for row in block.rows for cell in row.record_ids.split()})
    }
    assert rows["srd"][place : place + 2] == ["1,500", "4,500"]
    assert rows["elad"][place : place + 2] == ["1,500", "1,500"]
    assert rows["older than rounds"][place : place + 2] == ["-", "1,500"]
