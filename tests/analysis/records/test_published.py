"""The papers' numbers as data: every one has its tag and table, a mistake is refused by name, sums and means agree."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis.records.load import ResultsError
from analysis.records.published import (
    FOLDER,
    NOBODY,
    PublishedError,
    PublishedNumber,
    load_papers,
    numbers_of,
    papers,
)

ROOT = Path(__file__).resolve().parents[3]
CONF = ROOT / "conf"
PAPER: dict[str, Any] = {
    "title": "A paper",
    "authors": "Somebody",
    "venue": "arXiv",
    "students": {"small": {"name": "T5", "parameters": "220M", "ours": ["t5_v1_1_base"]}},
    "teachers": {"large": {"name": "PaLM"}},
    "datasets": {"sums": {"name": "Sums", "train": 1000}},
    "reproduce": {"impossible": "it is made up"},
    "tables": {
        "table 1": {
            "tag": "confirmed",
            "read_in": "the paper",
            "metric": "accuracy",
            "unit": "%",
            "student": "small",
            "steps": 100,
            "columns": {
                "A": {"dataset": "sums"},
                "B": {"dataset": "sums", "steps": 200, "tag": "re-run", "by": "Else"},
            },
            "rows": {
                "first": {"values": [1.5, 2]},
                "second": {"values": [None, 4.25], "deviations": [None, 0.5], "steps": None, "teacher": "none"},
                "third": {"values": [5, None], "train_share": 0.25, "teacher": "large", "tolerance": 0.3},
            },
        }
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The paper with one value put at `a/b/c`."""
    content = yaml.safe_load(yaml.safe_dump(PAPER))
    *above, last = path.split("/")
    place = content
    for key in above:
        place = place[key]
    place[last] = value
    return content


def read(folder: Path, content: dict[str, Any] | str) -> list[PublishedNumber]:
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    (folder / "paper.yaml").write_text(text, encoding="utf-8")
    return numbers_of("paper", load_papers(folder)["paper"])


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_fact_of_a_row_wins_over_a_columns_and_that_over_a_tables(tmp_path: Path) -> None:
    first_a, first_b, second, third = read(tmp_path, PAPER)
    assert [n.value for n in (first_a, first_b, second, third)] == [1.5, 2, 4.25, 5]
    assert [n.facts.steps for n in (first_a, first_b, second, third)] == [100, 200, None, 100]
    assert [(n.tag, n.by) for n in (first_a, first_b)] == [("confirmed", None), ("re-run", "Else")]
    assert (second.deviation, second.teacher) == (0.5, NOBODY)
    assert (first_a.teacher, third.teacher and third.teacher.name) == (None, "PaLM")
    assert (first_a.train_examples, third.train_examples) == (1000, 250)
    assert third.facts.tolerance == 0.3


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tables/table 1/tag", "reconstructed", r"tables / table 1 / tag: 'reconstructed': .*'confirmed' or 're-run'"),
        ("tables/table 1/rows/first", {"valeus": [1, 2]}, r"first: there is no key 'valeus'; did you mean 'values'"),
        ("tables/table 1/studnet", "small", r"table 1: there is no key 'studnet'; did you mean 'student'"),
        ("tabels", {}, r"there is no key 'tabels'; did you mean 'tables'"),
        ("tables/table 1/student", "smal", r"table 1: there is no student 'smal'; did you mean 'small'"),
        ("tables/table 1/columns/A/dataset", "sum", r"column A: there is no dataset 'sum'; did you mean 'sums'"),
        ("tables/table 1/rows/third/teacher", "larg", r"row third: there is no teacher 'larg'; did you mean 'large'"),
        ("tables/table 1/rows/first/values", [1], r"row 'first' has 1 values, expected 2"),
        ("tables/table 1/rows/second/deviations", [1], r"row 'second' has 1 deviations, expected 2"),
        ("tables/table 1/rows/first/values", [1, "2"], r"values / 1: '2': .*number"),
        ("tables/table 1/rows/first/values", [1, True], r"values / 1: True: .*number"),
        ("students/small/parameters", "220 million", r"students / small / parameters: '220 million'"),
        ("tables/table 1/read_in", None, r"table 1, row 'first': a number lacks `read_in`"),
        ("tables/table 1/tag", None, r"table 1, row 'first': a number lacks its tag, metric or unit"),
        ("tables/table 1/unit", None, r"a number lacks its tag, metric or unit"),
        ("tables/table 1/columns/B/by", None, r"row 'first': a number is a re-run and lacks `by`"),
        ("reproduce", {}, r"reproduce: needs either commands, or `impossible`"),
        ("reproduce/commands", ["python -m benchmark"], r"reproduce: needs either commands, or `impossible`"),
        ("title", None, r"title: None: .*string"),
    ],
)
def test_a_mistake_is_refused_by_its_place(path: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match=rf"^paper\.yaml: .*{message}"):
        read(tmp_path, changed(path, value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [", "paper.yaml is no YAML"),
        ("title: A\ntitle: B\n", "line 2: the key 'title' stands twice"),
        ("tables: {x: {rows: {a: {values: [1]}, a: {values: [2]}}}}", "the key 'a' stands twice"),
        ("- 5\n", "paper.yaml: "),
    ],
)
def test_a_file_that_would_lose_numbers_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=re.escape(message)):
        read(tmp_path, text)


# --- the files -------------------------------------------------------------------------------------------------------

NUMBERS = [number for name, paper in papers().items() for number in numbers_of(name, paper)]


def test_every_number_has_a_tag_a_table_and_a_source() -> None:
    assert len(NUMBERS) > 1000
    for number in NUMBERS:
        assert number.tag in ("confirmed", "re-run")
        assert number.table
        assert number.row
        assert number.metric
        assert number.unit
        assert number.facts.read_in
        assert (number.by is None) == (number.tag == "confirmed")
        if number.metric == "accuracy":
            assert 0 <= number.value <= 100
            assert number.unit == "%"
        if number.metric == "rouge_l":
            assert number.unit == "points"


def test_every_file_of_the_folder_is_a_paper() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(papers())
    assert {path.suffix for path in FOLDER.iterdir()} == {".yaml"}
    needed = {"step_by_step", "mutual_information", "honey", "elad", "ta_in_the_loop", "selective_reflection", "pocl"}
    assert needed | {"abkd", "revthink", "qr_distill", "edit", "wasd", "akl", "crd", "mentor_kd"} <= set(papers())


def options(group: str) -> set[str]:
    return {path.stem for path in (CONF / group).glob("*.yaml")}


def test_names_of_ours_are_names_of_the_configuration() -> None:
    for name, paper in papers().items():
        assert set(paper.reproduce.experiments) <= options("experiment"), name
        assert not set(papers()) & options("experiment"), "a name means one thing"
        assert {ours for student in paper.students.values() for ours in student.ours} <= options("student"), name
        assert {dataset.ours for dataset in paper.datasets.values()} - {None} <= options("dataset"), name
        assert {ours for stand_ins in paper.reproduce.experiments.values() for ours in stand_ins.values()} <= options(
            "dataset"
        )
        assert {key for stand_ins in paper.reproduce.experiments.values() for key in stand_ins} <= set(paper.datasets)
        assert paper.page is None or (ROOT / paper.page).is_file(), name


def test_the_names_of_teachers_are_names_that_records_have() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (CONF / "experiment").glob("*.yaml")]
    named = {ours for paper in papers().values() for teacher in paper.teachers.values() for ours in teacher.ours}
    for ours in named:
        assert ours in options("teacher") or any(f"distribution_teacher.name: {ours}\n" in text for text in texts), ours


def test_every_method_is_a_preset_with_options_that_are_there() -> None:
    methods = {number.facts.method for number in NUMBERS} - {None}
    assert {"gold_answers", "step_by_step", "fkl", "abkd", "multitask", "scott"} <= methods
    changes = {change for paper in papers().values() for change in paper.reproduce.setting if "." not in change}
    for method in methods:
        preset, *own = str(method).split("+")
        assert preset in options("method"), method
        changes |= set(own)
    for change in changes:
        group, _, option = change.partition("=")
        assert option in options(group), change


# --- arithmetic that the sources must pass ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "table", "rounding"),
    [
        ("pocl", "README", 0.0051),
        ("wasd", "table 2, divergences alone", 0.0061),
        ("wasd", "table 3, whole methods", 0.0061),
        ("wasd", "teacher of OpenLLaMA2", 0.0061),
        ("edit", "table 1", 0.061),
        ("qr_distill", "table 1", 0.0061),
        ("pocl", "committed test logs", 0.0061),
    ],
)
def test_a_printed_mean_is_the_mean_of_its_row(file: str, table: str, rounding: float) -> None:
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for number in NUMBERS:
        if (number.paper, number.table) == (file, table):
            rows[number.row][number.column] = number.value
    complete = [row for row in rows.values() if len(row) == max(map(len, rows.values()))]
    assert len(complete) >= len(rows) - 1
    for row in complete:
        mean = row.pop("mean")
        assert np.mean(list(row.values())) == pytest.approx(mean, abs=rounding)


def honey_runs(row: str) -> list[float]:
    return [n.value for n in NUMBERS if (n.paper, n.table, n.row) == ("honey", "released runs", row)]


def without_outliers(runs: list[float]) -> list[float]:
    low, high = np.quantile(runs, [0.25, 0.75])  # type 7, as in R
    return [run for run in runs if low - 1.5 * (high - low) <= run <= high + 1.5 * (high - low)]


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ("means of all released runs", list),
        ("figure of accuracies, without outliers", without_outliers),
        ("means without outliers of what is not in the paper", without_outliers),
    ],
)
def test_honeys_means_follow_from_its_released_runs(table: str, kept: Any) -> None:
    means = [n for n in NUMBERS if (n.paper, n.table) == ("honey", table)]
    assert len(means) >= 4
    for number in means:
        runs = kept(honey_runs(number.row))
        assert np.mean(runs) == pytest.approx(number.value, abs=0.0101)  # runs and means are rounded
        assert number.facts.runs in (len(runs), None)
        if number.deviation is not None:
            assert np.std(runs, ddof=1) == pytest.approx(number.deviation, abs=0.0101)


def test_mean_ratings_and_gains_of_honey_agree() -> None:
    """Quality is the mean of the five constructs."""
    constructs = ("plausibility", "understandability", "completeness", "satisfaction", "contrastiveness")
    for row in ("CF unrevised", "MT unrevised", "MT+CF unrevised", "MT+CF revised"):
        of_row = {n.column: n.value for n in NUMBERS if n.table == "people's ratings" and n.row == row}
        assert np.mean([of_row[name] for name in constructs]) == pytest.approx(of_row["quality"], abs=0.0011)
