"""The four formats."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load_records
from analysis.render import FORMATS, latex_escaped, markdown_table, render
from analysis.tables import build_table
from tests.analysis.record_files import make_record, write_record, write_small_sweep


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
    assert "| 91.3 ± 3.8 |" in lines[-2]


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
    assert {line.replace(r"\&", "").count("&") for line in body} == {11}
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
