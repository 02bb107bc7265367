"""Numbers that pages of methods call published are those of analysis/published, so that the two cannot drift apart.

A page marks such a table with a comment above it: `<!-- published: FILE -->`, with `; rows: TEXT` where only rows that
hold the text are published, and with `; column: HEADING` where only that column is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from analysis.output.reproduction import papers_of
from analysis.records.published import PublishedNumber, numbers_of, papers

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "methods"
MARKED = re.compile(r"^<!-- published: (?P<what>[^>]+) -->\n\n(?P<table>(?:\|.*\n)+)", re.MULTILINE)
TABLES = {
    "honey": 2,
    "mutual_information": 1,
    "scott": 1,
    "selective_reflection": 1,
    "step_by_step": 1,
    "white_box": 1,
}
"""Page -> its tables of published numbers. elad has none, and ta_in_the_loop has a sentence (below)."""


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def shown(text: str) -> Iterator[tuple[list[str], str]]:
    """(files, number as written) of all published tables of a page."""
    for match in MARKED.finditer(text):
        files, *limits = match["what"].split("; ")
        limit = dict(each.split(": ", 1) for each in limits)
        head, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in match["table"].splitlines())
        for cells in lines:
            if limit.get("rows", "") not in cells and "rows" in limit:
                continue
            for heading, cell in zip(head, cells, strict=True):
                if limit.get("column", heading) == heading and heading not in ("", head[0], "labels"):
                    yield from ((files.split(", "), number) for number in re.findall(r"\d+(?:\.\d+)?", cell))
            if "rows" in limit:  # a claim stands in the first column
                yield from ((files.split(", "), number) for number in re.findall(r"\d+(?:\.\d+)?", cells[0]))


def is_published(number: str, files: list[str]) -> bool:
    """Whether the files hold a number, a deviation or a count of runs that rounds to the written one."""
    decimals = len(number.partition(".")[2])
    return any(abs(value - float(number)) <= 0.5 * 10**-decimals + 1e-9 for file in files for value in values_of(file))


@cache
def numbers(file: str) -> list[PublishedNumber]:
    return numbers_of(file, papers()[file])


@cache
def values_of(file: str) -> frozenset[float]:
    held = ((number.value, number.deviation, number.facts.runs) for number in numbers(file))
    return frozenset(value for values in held for value in values if value is not None)


def strays(text: str) -> list[str]:
    return [number for files, number in shown(text) if not is_published(number, files)]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_published_number_of_a_page_is_in_the_data(name: str) -> None:
    assert len(MARKED.findall(page(name))) == page(name).count("<!-- published") == TABLES[name]
    assert list(shown(page(name)))
    assert strays(page(name)) == []


def test_all_pages_with_such_tables_are_looked_at() -> None:
    marked = {path.stem for path in FOLDER.glob("*.md") if "<!-- published" in path.read_text(encoding="utf-8")}
    assert marked == set(TABLES)


def test_a_changed_digit_is_found() -> None:
    for name, right, wrong in [
        ("honey", "53.17 (6,", "53.18 (6,"),
        ("honey", "(6, 5.59)", "(6, 5.95)"),
        ("step_by_step", "44.9 (figure)", "49.4 (figure)"),
        ("scott", "| 34.1 |", "| 31.4 |"),
        ("mutual_information", "63.88", "63.38"),
        ("white_box", "| 17.17 |", "| 17.71 |"),
        ("selective_reflection", "up to 39 %", "up to 93 %"),
    ]:
        assert page(name).count(right) >= 1
        assert len(strays(page(name).replace(right, wrong))) >= 1, (name, wrong)


def test_the_how_to_names_the_papers_of_every_experiment() -> None:
    text = (ROOT / "docs" / "how-to" / "reproduce-a-paper.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ((?:`\w+`(?:, )?)+)", text, re.MULTILINE)
    written = {name: set(re.findall(r"\w+", files)) for names, files in rows for name in re.findall(r"\w+", names)}
    experiments = {name for paper in papers().values() for name in paper.reproduce.experiments}
    assert written == {name: set(papers_of(name)) for name in experiments}


ALL_RUNS, OF_FIGURE = "means of all released runs", "figure of accuracies, without outliers"
FIGURE_7, DIVERGENCES = "figure 7, sizes of the student", "table 2, divergences alone"


def found(file: str, table: str, row: str, column: str = "") -> PublishedNumber:
    [number] = [number for number in numbers(file) if (number.table, number.row, number.column) == (table, row, column)]
    return number


@pytest.mark.parametrize(
    ("name", "line", "number"),
    [
        ("honey", "| CF, unrevised | 53.17 (6, 4.14)", ("honey", ALL_RUNS, "220M, CF unrevised")),
        ("honey", "| MT, unrevised | 62.09 (6, 5.59)", ("honey", ALL_RUNS, "220M, MT unrevised")),
        ("honey", "59.79 (6, 2.78)", ("honey", ALL_RUNS, "220M, MT+CF unrevised")),
        ("honey", "74.13 (6, 1.22)", ("honey", ALL_RUNS, "770M, MT+CF revised")),
        ("honey", "51.70 (5, 2.27)", ("honey", OF_FIGURE, "220M, CF unrevised")),
        ("honey", "64.36 (5, 0.77)", ("honey", OF_FIGURE, "220M, MT unrevised")),
        ("honey", "73.66 (5, 0.44)", ("honey", OF_FIGURE, "770M, MT+CF revised")),
        ("honey", "| MT+CF, revised | 4.21 (0.97)", ("honey", "people's ratings", "MT+CF revised", "plausibility")),
        (
            "honey",
            "lowers MT+CF by 2.20",
            ("honey", "Tukey's differences", "770M, MT+CF, unrevised over revised", "difference"),
        ),
        ("honey", "completeness H = 11.80", ("honey", "Kruskal-Wallis tests of the ratings", "completeness", "H")),
        ("honey", "F(3,31) = 124.2", ("honey", "analysis of variance", "method, F(3,31)", "F")),
        ("honey", "MT +0.14 (p = 0.029)", ("honey", "linear model of quality", "MT unrevised", "effect")),
        ("step_by_step", "| human | 62.63", ("step_by_step", "tables 1 and 2", "standard finetuning", "SVAMP")),
        (
            "step_by_step",
            "| human | 62.63 | 65.50",
            ("step_by_step", "tables 1 and 2", "step-by-step, rationales of PaLM 540B", "SVAMP"),
        ),
        ("step_by_step", "42.7 (figure)", ("step_by_step", FIGURE_7, "220M, task distillation", "SVAMP")),
        ("step_by_step", "57.2 (figure)", ("step_by_step", FIGURE_7, "770M, step-by-step", "SVAMP")),
        ("scott", "| SCOTT | 42.4", ("edit", "table 1", "SCOTT", "BBH-test")),
        ("scott", "28.8 | 68.5 | 48.6 | 43.2", ("edit", "table 1", "distilling step-by-step", "mean")),
        (
            "mutual_information",
            "| with mutual information (listing) | 89.50",
            ("mutual_information", "leaderboard listing", "with mutual information", "e-SNLI"),
        ),
        (
            "mutual_information",
            "with mutual information 42.8",
            ("edit", "table 1", "step-by-step with mutual information", "mean"),
        ),
        ("white_box", "| forward KL | 59.6, 1.9 | 70.2, 2.7 | 1 | 17.17", ("wasd", DIVERGENCES, "KL", "mean")),
        ("white_box", "| 4 | 20.33", ("wasd", DIVERGENCES, "generalised JSD", "mean")),
        ("ta_in_the_loop", "up to +20.79 %", ("ta_in_the_loop", "abstract", "two stages and three signals, at most")),
    ],
)
def test_a_number_of_a_page_stands_at_its_place_in_the_data(name: str, line: str, number: tuple[str, ...]) -> None:
    assert line in page(name)
    published = found(*number)
    written = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", line)]
    decimals = max(len(each.partition(".")[2]) for each in re.findall(r"\d+(?:\.\d+)?", line))
    assert round(published.value, decimals) in written or round(published.value, 2) in written
    if "(6, " in line or "(5, " in line:
        assert [published.facts.runs, published.deviation] == written[-2:]
