"""The report: every section is there, its numbers are those of the tables, and nothing of a record becomes markup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import Markup

import analysis.output.report.results as results_sections
from analysis import load_results, write_report
from analysis.commands.app import main
from analysis.output.columns import ALL, BOLD, DECIDING, headings, shown_rows
from analysis.output.report.examples import MOST_CHARACTERS, MOST_QUESTIONS
from analysis.output.tables import build_table
from analysis.records.load import load_records
from tests.analysis.output.report_files import (
    full_record,
    predictions,
    rounds,
    write_cell,
    write_full_sweep,
    write_many,
)
from tests.analysis.record_files import make_record, write_record
from tests.analysis.study.study_files import explanations

Capture = pytest.CaptureFixture[str]
SECTIONS = (
    *("in-short", "compared", "protocol", "results", "tests", "frontier", "curves", "explanations"),
    *("costs", "failures", "contamination", "examples", "provenance", "repeat"),
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>$\\frac$"
VOID = {"meta", "br", "wbr", "input", "path", "use", "rect"}


class Page(HTMLParser):
    """The page as a reader meets it: elements, texts by section, tables by section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self.tables: dict[str, list[list[list[str]]]] = {}
        self._open: list[str] = []
        self._section = ""
        self._cell: list[str] | None = None
        self.feed(text)
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = str(dict(attrs)["id"])
        elif tag == "table":
            self.tables.setdefault(self._section, []).append([])
        elif tag == "tr":
            self.tables[self._section][-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("td", "th"):
            assert self._cell is not None
            self.tables[self._section][-1][-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
        if not {"script", "style"} & set(self._open):
            self.words[self._section] = self.words.get(self._section, "") + data

    def table(self, section: str, *columns: str) -> list[list[str]]:
        """The rows of the section's first table with these columns, among others."""
        found = [rows for rows in self.tables.get(section, []) if set(columns) <= set(rows[0])]
        assert found, f"{section} has {[rows[0] for rows in self.tables.get(section, [])]}"
        places = [found[0][0].index(column) for column in columns]
        return [[row[place] for place in places] for row in found[0][1:]]


@pytest.fixture
def drawn() -> None:
    """Asks for real pictures, which take most of a page's time."""


@pytest.fixture(autouse=True)
def empty_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures without content, unless a test asks for `drawn`; the page of `swept` has real ones."""
    if "drawn" not in request.fixturenames:
        empty = '<svg role="img" aria-label="{}"></svg>'
        monkeypatch.setattr(results_sections, "picture", lambda title, draw: Markup(empty).format(title))


@dataclass(frozen=True)
class Swept:
    """A full sweep: its results folder, the folder of each (method, seed), and its page."""

    results: Path
    folders: dict[tuple[str, int], Path]
    page: Page


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    results = tmp_path_factory.mktemp("swept") / "results"
    folders = write_full_sweep(results)
    return Swept(results, folders, page_of(results))


def page_of(results: Path, *options: str, status: int = 0) -> Page:
    folder = results.parent / "report"
    assert main(["report", "--results", str(results), "--output", str(folder), *options]) == status
    return Page((folder / "report.html").read_text(encoding="utf-8"))


# --- the page as a whole ---------------------------------------------------------------------------------------------


def test_every_section_is_there_in_order_and_linked(swept: Swept) -> None:
    page = swept.page
    assert tuple(page.words)[1:] == SECTIONS
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"]) for tag, attributes in page.elements if tag == "a"]
    assert [link for link in links if link[1:] in SECTIONS] == [f"#{name}" for name in SECTIONS]
    assert {link[1:] for link in links} <= set(ids)
    assert "There is no example" not in page.text


def test_nothing_comes_from_elsewhere(swept: Swept) -> None:
    page = swept.page
    assert "http" not in page.text
    assert not re.search(r"@import|\bsrc=|<link|<iframe|url\((?!#)", page.text)
    assert [path.name for path in (swept.results.parent / "report").iterdir()] == ["report.html"]


def test_text_of_records_is_never_markup(results: Path, drawn: None) -> None:
    config = {"format": {"name": HOSTILE}}
    record = make_record(HOSTILE, student=HOSTILE, dataset=HOSTILE, teacher=HOSTILE, config=config)
    record["rounds"] = rounds("elad", 0.5, 1)
    record["provenance"] = {"command": [HOSTILE], "platform": HOSTILE, "git": {"commit": HOSTILE, "dirty": False}}
    record["counters"] = {HOSTILE: 3}
    frame = predictions([True, False], rationale=f"</pre></details>{HOSTILE}").assign(prompt=HOSTILE, gold=HOSTILE)
    folder = write_cell(results, record, frame)
    explanations("x", 4).assign(question=HOSTILE).to_parquet(folder / "explanations.parquet")
    write_record(results, make_record("srd", status="failed", error=HOSTILE))
    page = page_of(results)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for section in ("compared", "results", "failures", "examples", "provenance", "repeat"):
        assert HOSTILE in page.words[section], section


def test_the_same_records_make_the_same_page(swept: Swept, drawn: None) -> None:
    assert page_of(swept.results).text == swept.page.text


def test_a_page_grows_no_faster_than_its_records(tmp_path: Path) -> None:
    sizes = {}
    for count in (30, 120):
        write_many(tmp_path / str(count), count, questions=2)
        sizes[count] = write_report(load_results(tmp_path / str(count)), tmp_path / f"page{count}").stat().st_size
    assert sizes[120] < 4 * sizes[30]


@pytest.mark.slow
def test_a_hundred_records_take_seconds_and_memory_stays_small(tmp_path: Path, drawn: None) -> None:
    import time
    import tracemalloc

    write_many(tmp_path / "results", 100, questions=200)
    began = time.process_time()
    write_report(load_results(tmp_path / "results"), tmp_path)
    assert time.process_time() - began < 20
    peaks = []
    for count in (100, 400):
        write_many(tmp_path / f"many{count}", count, questions=50)
        tracemalloc.start()
        write_report(load_results(tmp_path / f"many{count}"), tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4 * peaks[0]


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_every_number_of_the_main_table_is_the_table_s(results: Path, place: int) -> None:
    write_full_sweep(results)
    for seed in (1, 2):
        write_record(results, full_record("elad", seed, student="other"))
    page, table = page_of(results), build_table(load_records(results))
    chosen = (DECIDING, ALL)[place]
    shown = [[headings(block, chosen), *shown_rows(block, table.short_ids, chosen)] for block in table.blocks]
    expected = [[[cell.strip(BOLD) for cell in row] for row in rows] for rows in shown]
    assert len(expected) == 2
    assert any(cell.startswith(BOLD) for rows in shown for row in rows for cell in row)
    assert page.tables["results"][place::2] == expected
    numbers = [cell for rows in expected for row in rows for cell in row if re.search(r"\d", cell)]
    assert len(numbers) > 30
    assert all(number in page.words["results"] for number in numbers)


def test_every_row_leads_to_its_records(swept: Swept) -> None:
    page = swept.page
    [rows] = page.tables["repeat"]
    values = {name: text for name, text in rows[1:]}
    assert set(values) == {"untrained student", "teacher itself", "answer_only", "elad", "gold_answers"}
    for seed, value in ((1, "0.7100"), (2, "0.7200"), (3, "0.7300")):
        short = swept.folders["elad", seed].name[:8]
        assert f"{seed}: {value} ({short}" in values["elad"]
    anchors = {attributes["id"] for tag, attributes in page.elements if tag == "tr" and "id" in attributes}
    links = {str(a["href"])[1:] for tag, a in page.elements if tag == "a" and str(a["href"]).startswith("#records-")}
    assert anchors == links
    assert len(links) == 5


def test_methods_are_compared_with_answer_only_on_the_same_seeds(swept: Swept) -> None:
    rows = swept.page.table("tests", "method", "test, points", "pairs")
    assert rows == [["elad", "+30.0 ± 0.0*", "3"], ["gold_answers", "+10.0 ± 0.0*", "3"]]


def test_the_beginning_says_what_is_highest_and_what_is_told_apart(swept: Swept) -> None:
    words = swept.page.words["in-short"]
    assert "of 3 rows, elad has the highest mean accuracy, 72.0 ± 2.5 % over 3 seeds." in words
    assert "Against answer_only, the paired 95 % interval leaves out 0 for 2 of 2 other rows." in words


def test_one_seed_tells_nothing_apart(results: Path) -> None:
    for method in ("answer_only", "elad"):
        write_record(results, full_record(method, 1))
    words = page_of(results).words["in-short"]
    assert "Against answer_only there is no interval: no other row shares two seeds with it." in words


def test_another_baseline_can_be_named(results: Path, capsys: Capture) -> None:
    write_full_sweep(results)
    page = page_of(results, "--baseline", "elad")
    assert page.table("tests", "method", "test, points")[0] == ["answer_only", "-30.0 ± 0.0*"]
    capsys.readouterr()
    folder = results.parent / "other"
    assert main(["report", "--results", str(results), "--output", str(folder), "--baseline", "elat"]) == 2
    assert "did you mean 'elad'?" in capsys.readouterr().err
    assert not folder.exists()


def test_without_answer_only_the_first_method_is_the_baseline(results: Path) -> None:
    for method in ("beta", "alpha"):
        write_record(results, full_record(method, 1))
    page = page_of(results)
    assert "against alpha" in page.words["tests"]
    write_record(results, full_record("answer_only+schedule=growing_rounds", 1))
    assert "against answer_only+schedule=growing_rounds" in page_of(results).words["tests"]


def test_a_block_without_the_baseline_says_so(results: Path) -> None:
    write_full_sweep(results)
    write_record(results, full_record("elad", 1, student="other"))
    page = page_of(results, "--baseline", "gold_answers")
    assert "student other, teacher simulated, accuracy: gold_answers was not run here" in page.words["tests"]


def test_pictures_have_words_and_name_what_is_not_beaten(swept: Swept) -> None:
    page = swept.page
    drawn = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(drawn) == 2  # frontier and learning curves
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawn)
    assert "Not beaten by a row that is as cheap: elad." in page.words["frontier"]


def test_learning_curves_stand_where_there_are_several_rounds(swept: Swept) -> None:
    rows = swept.page.table("curves", "method", "round", "questions", "validation %")
    assert [row[:3] for row in rows if row[0] == "elad"] == [
        ["elad", "1", "100"],
        ["elad", "2", "300"],
        ["elad", "3", "1,000"],
    ]
    assert [row[3] for row in rows if row[0] == "elad"][-1] == "74.0 ± 5.0"  # 0.72 to 0.76; t = 4.303, s = 0.02


def test_explanations_have_their_measures(results: Path) -> None:
    folders = write_full_sweep(results)
    for seed in (1, 2, 3):
        frame = explanations("x", 4).assign(words=[seed, seed, seed, seed + 4])
        frame.to_parquet(folders["elad", seed] / "explanations.parquet")
    page = page_of(results)
    [row] = page.table("explanations", "method", "seeds", "words")
    assert row == ["elad", "3", "3.0 ± 2.5"]  # means 2, 3 and 4; t = 4.303 over the root of 3
    assert "Without explanations" in page.words["explanations"]


# --- protocol, costs, trouble, provenance ----------------------------------------------------------------------------


def test_the_protocol_says_what_is_equal_and_what_differs(results: Path) -> None:
    write_full_sweep(results)
    config = {"optimization": {"learning_rate": 0.1}, "format": {"name": "same", "_target_": "formats.Other"}}
    write_record(results, full_record("srd", 1, config=config))
    page = page_of(results)
    assert re.search(r"optimization\.max_steps\s*1500", page.words["protocol"])
    rows = page.table("protocol", "setting", "value", "rows")
    assert ["optimization.learning_rate", "0.1", "srd"] in rows
    assert ["optimization.learning_rate", "0.003", "answer_only; elad; gold_answers"] in rows
    assert ["srd", "Other"] in page.table("protocol", "method", "format")


def test_costs_are_means_per_cell_and_by_source(swept: Swept) -> None:
    page = swept.page
    rows = page.table("costs", "method", "source", "questions", "prompt tokens", "reply tokens", "USD", "USD paid")
    assert ["elad", "teacher", "1,000", "80,000", "20,000", "0.12", "0.00"] in rows
    assert ["gold_answers", "human", "1,000", "80,000", "20,000", "0.12", "0.00"] in rows
    assert page.table("costs", "method", "model and phase", "tokens read", "tokens written") == [
        ["elad", "student/selection", "800,000", "200,000"]
    ]
    assert ["elad", "2.5", "50.0", "62.0"] in page.table("costs", "method", "evaluation", "training", "whole cell")


def test_failures_say_what_and_where(results: Path, capsys: Capture) -> None:
    folders = write_full_sweep(results)
    damaged = write_record(results, make_record("ta_in_the_loop"))
    damaged.write_text("{")
    page = page_of(results, status=1)
    [failed] = page.table("failures", "method", "seed", "error")
    assert failed == ["srd", "1", "the loss became NaN at step 12"]
    assert page.table("failures", "file", "reason")[0][0] == str(damaged)
    assert "never_run" in page.words["failures"]
    counted = page.table("failures", "what", "method", "total", "cells", "records")
    assert [row[:4] for row in counted] == [
        ["unparsed_answers", method, "9", "3"] for method in ("answer_only", "gold_answers", "untrained")
    ]
    assert folders["answer_only", 1].name[:8] in counted[0][4]
    assert f"skipped {damaged}" in capsys.readouterr().err


def test_contamination_has_the_numbers_of_the_records(swept: Swept) -> None:
    rows = swept.page.table("contamination", "pool: exact", "pool: any", "learnt: near", "short", "covered %")
    assert rows == [["2", "5", "6", "7", "12.5"]]


def test_older_records_are_no_clean_ones(results: Path) -> None:
    write_record(results, make_record("elad"))
    page = page_of(results)
    assert "not known for elad" in page.words["contamination"]
    assert "contamination" not in page.tables


def test_provenance_and_commands_stand_with_their_cells(swept: Swept) -> None:
    page = swept.page
    rows = page.table("provenance", "what", "value", "cells")
    assert ["commit", "0123456789ab+", "12"] in rows
    assert ["torch", "2.13.0", "12"] in rows
    assert "python -m benchmark experiment=small 'note=two words'" in page.words["repeat"]
    assert "Cells: 12. Methods: answer_only; elad; gold_answers; untrained." in page.words["repeat"]


# --- examples --------------------------------------------------------------------------------------------------------


def shown_examples(page: Page) -> list[str]:
    """The ids of the questions, in the order of the page."""
    return re.findall(r"\b(q-\d+);", page.words["examples"])


def test_questions_on_which_methods_disagree_come_first(swept: Swept) -> None:
    page = swept.page
    # one of three right: even ones up to q-6 have two of three right, odd ones one; equal variance, so by id; then q-8
    assert shown_examples(page) == [f"q-{number}" for number in range(9)]
    kinds = [attributes.get("data-agreement") for _, attributes in page.elements if "data-agreement" in attributes]
    assert kinds == ["disagree"] * 9
    results_of = [a["data-result"] for _, a in page.elements if a.get("data-method") == "elad"]
    assert results_of == ["right"] * 8 + ["wrong"]
    assert "1+2=3" in page.words["examples"]
    assert "no answer could be read" in page.words["examples"]


def test_examples_are_bounded_and_long_texts_are_cut(results: Path) -> None:
    long = "x" * (MOST_CHARACTERS + 5)
    for method, right in (("one", [True] * 200), ("two", [n % 2 == 0 for n in range(200)])):
        write_cell(results, full_record(method, 1), predictions(right, rationale=long))
    page = page_of(results)
    found = shown_examples(page)
    assert len(found) == MOST_QUESTIONS
    assert found[:40] == [f"q-{2 * place + 1}" for place in range(40)]  # the odd ones, on which the two disagree
    assert found[40] == "q-0"
    assert long not in page.text
    assert f"{len(long):,} characters in all" in page.words["examples"]


def test_an_explanation_stands_in_for_a_rationale_and_says_so(results: Path) -> None:
    folder = write_cell(results, full_record("elad", 1), predictions([True], rationale=""))
    frame = explanations("x", 1).assign(example_id=["q-0"], question=["Which?"], explanation=["because of this"])
    frame.to_parquet(folder / "explanations.parquet")
    words = page_of(results).words["examples"]
    assert re.search(r"Explanation, asked for after the test:\s*because of this", words)
    assert "Which?" in words


def test_graded_answers_are_neither_right_nor_wrong(results: Path) -> None:
    for method, grade in (("one", 0.25), ("two", 0.75)):
        record = full_record(method, 1)
        record["test"] = [{"dataset": "chain_sum", "metric": "rouge_l", "value": grade, "n": 2}]
        frame = predictions([False, False]).assign(grade=[grade, 0.5], outcome=[None, None])
        write_cell(results, record, frame)
    page = page_of(results)
    assert shown_examples(page) == ["q-0", "q-1"]
    assert "grade 0.750" in page.words["examples"]
    assert {a["data-result"] for _, a in page.elements if "data-result" in a} == {"graded"}


# --- what is missing -------------------------------------------------------------------------------------------------


def test_broken_tables_leave_a_sentence_and_the_rest(results: Path, capsys: Capture) -> None:
    folders = write_full_sweep(results)
    broken = folders["elad", 1] / "predictions.parquet"
    broken.write_bytes(b"half a file")
    other = folders["elad", 2] / "explanations.parquet"
    other.write_bytes(b"half a file")
    page = page_of(results, status=1)
    assert f"elad, seed 1: {broken} cannot be used" in page.words["examples"]
    assert shown_examples(page) == [f"q-{number}" for number in (0, 2, 4, 6, 8, 1, 3, 5, 7)]
    assert f"{other}: cannot be read" in page.words["explanations"]
    assert {row[0] for row in page.table("failures", "file", "reason")} == {str(broken), str(other)}
    assert len(page.table("results", "method")) == 5
    said = capsys.readouterr().err
    assert f"skipped {broken}" in said
    assert f"skipped {other}" in said


def test_the_python_call_returns_the_path_and_adds_the_problems(results: Path, tmp_path: Path) -> None:
    folders = write_full_sweep(results)
    (folders["elad", 1] / "predictions.parquet").write_bytes(b"")
    found = load_results(results)
    assert write_report(found, tmp_path / "new" / "report") == tmp_path / "new" / "report" / "report.html"
    assert [problem.path.name for problem in found.problems] == ["predictions.parquet"]


def test_bare_records_make_a_page_of_sentences(results: Path) -> None:
    record = make_record("elad")
    record["rounds"] = []
    write_record(results, record)
    page = page_of(results)
    assert "nothing is compared seed by seed" in page.words["tests"]
    assert "No finished cell has more than one round" in page.words["curves"]
    assert "No explanation could be read" in page.words["explanations"]
    assert "predictions.parquet is not there" in page.words["examples"]
    assert "A row with one seed has no interval." in page.words["results"]
    assert "No record says when its cell was finished." in page.words["provenance"]


def test_only_failed_cells_make_a_page_too(results: Path) -> None:
    write_record(results, make_record("elad", status="failed", error="no memory"))
    page = page_of(results)
    assert tuple(page.words)[1:] == SECTIONS
    assert "no memory" in page.words["failures"]
    assert "No cell is complete yet" in page.words["results"]


def test_nothing_to_report_is_one_line(results: Path, capsys: Capture) -> None:
    assert main(["report", "--results", str(results), "--output", str(results.parent / "report")]) == 2
    assert "holds no record" in capsys.readouterr().err


def test_two_metrics_stand_in_blocks_of_their_own(results: Path) -> None:
    write_full_sweep(results)
    graded = full_record("elad", 1, dataset="dolly")
    graded["test"] = [{"dataset": "dolly", "metric": "rouge_l", "value": 0.25, "n": 40}]
    write_record(results, graded)
    page = page_of(results)
    assert [rows[0][1] for rows in page.tables["results"]][::2] == ["accuracy %", "rouge_l %"]
    assert "highest mean rouge_l, 25.0 % over 1 seed" in page.words["in-short"]


def test_many_blocks_are_not_all_drawn_and_not_all_shown(results: Path) -> None:
    for number in range(25):
        record = full_record("elad", 1, student=f"student-{number:02d}")
        write_cell(results, record, predictions([True] * 5))
    page = page_of(results)
    assert sum(tag == "svg" for tag, _ in page.elements) == 16
    assert "not drawn: chain_sum: student student-08" in page.words["frontier"]
    assert len(shown_examples(page)) == MOST_QUESTIONS
    assert "have no examples here" in page.words["examples"]


def test_several_folders_make_one_page(tmp_path: Path) -> None:
    for folder, method in (("one", "answer_only"), ("other", "elad")):
        write_record(tmp_path / folder, full_record(method, 1))
    both = ["--results", str(tmp_path / "one"), "--results", str(tmp_path / "other")]
    assert main(["report", *both, "--output", str(tmp_path / "report")]) == 0
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert {row[0] for row in page.table("results", "method")} >= {"answer_only", "elad"}


def test_older_predictions_without_a_column_are_named(results: Path) -> None:
    folder = write_cell(results, full_record("elad", 1), predictions([True]))
    pd.read_parquet(folder / "predictions.parquet").drop(columns="gold").to_parquet(folder / "predictions.parquet")
    page = page_of(results, status=1)
    assert "has no column 'gold'" in page.words["failures"]
