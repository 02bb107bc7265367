"""Filled questionnaires: nothing is dropped in silence, and a planted difference is found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.study.constructs import NAMES
from analysis.study.measures import (
    cronbach_alpha,
    dunn,
    krippendorff_alpha,
    kruskal_wallis,
    mean_ratings,
    models_of_quality,
)
from analysis.study.plan_file import Study, write_study
from analysis.study.submissions import read_ratings
from tests.analysis.study.study_files import METHODS, filled, make_study, save, save_all, write_explained

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def study(results: Path) -> Study:
    write_explained(results)
    return make_study(results, people=24)


def test_whole_forms_are_used_whole(study: Study, tmp_path: Path) -> None:
    save_all(study, tmp_path)
    ratings = read_ratings(study, tmp_path)
    assert ratings.aside == ()
    assert len(ratings.used) == 24 * 12
    assert set(ratings.forms.values()) == {12}
    saved = json.loads((tmp_path / "ratings-p07.json").read_text())["ratings"]
    for row in ratings.used[ratings.used["participant"] == "p07"].to_dict("records"):
        [given] = [each for each in saved if each["item"] == row["item"]]
        assert [row[name] for name in NAMES] == [given[name] for name in NAMES]
        assert row["quality"] == pytest.approx(sum(given[name] for name in NAMES) / 5)
        item = study.items[row["item"]]
        assert (row["method"], row["length"]) == (item.method, len(item.explanation))


def test_a_table_from_a_survey_platform_says_the_same(study: Study, tmp_path: Path) -> None:
    save_all(study, tmp_path / "json")
    rows = [
        {"participant": person, **row}
        for person in study.pages
        for row in json.loads((tmp_path / "json" / f"ratings-{person}.json").read_text())["ratings"]
    ]
    (tmp_path / "csv").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "csv" / "platform.csv", index=False)
    one, other = (read_ratings(study, tmp_path / kind).used for kind in ("json", "csv"))
    order = ["participant", "page"]
    pd.testing.assert_frame_equal(
        one.sort_values(order).reset_index(drop=True), other.sort_values(order).reset_index(drop=True)
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"plausibility": 6}, "plausibility is 6: no whole number from 1 to 5"),
        ({"plausibility": 0}, "plausibility is 0"),
        ({"satisfaction": 2.5}, "satisfaction is 2.5"),
        ({"satisfaction": "much"}, "satisfaction is 'much'"),
        ({"satisfaction": True}, "satisfaction is True"),
        ({"completeness": None}, "half filled: no rating of completeness"),
        ({"completeness": "", "plausibility": ""}, "half filled: no rating of plausibility, completeness"),
        ({"item": "0badc0de"}, "the item '0badc0de' was not shown to p03"),
        ({"item": None}, "the item '' was not shown to p03"),
    ],
)
def test_a_row_that_cannot_be_used_is_kept_aside_with_its_place(
    study: Study, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    form = filled(study, "p03")
    number = next(n for n, page in enumerate(study.pages["p03"]) if page.asked_for is None)
    form["ratings"][number].update(change)
    save(tmp_path, "one.json", form)
    ratings = read_ratings(study, tmp_path)
    [aside] = ratings.aside
    assert (aside.file, aside.row, aside.participant) == ("one.json", str(number + 1), "p03")
    assert aside.reason.startswith(reason)
    assert json.loads(aside.content) == form["ratings"][number]
    assert len(ratings.used) == 11


def test_an_item_rated_twice_counts_once(study: Study, tmp_path: Path) -> None:
    form = filled(study, "p03")
    form["ratings"].append(form["ratings"][0])
    save(tmp_path, "one.json", form)
    ratings = read_ratings(study, tmp_path)
    assert [each.reason for each in ratings.aside if "twice" in each.reason] == [
        f"the item {form['ratings'][0]['item']!r} is rated twice; the first row counts"
    ]
    assert len(ratings.used) == 12


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{not json", "is no whole JSON file"),
        ("[]", "is no saved questionnaire"),
        ({"version": 9, "ratings": []}, "has version 9"),
        ({"version": 1, "study": "another", "ratings": []}, "belongs to the study 'another'"),
    ],
)
def test_a_file_that_cannot_be_read_is_kept_aside_whole(
    study: Study, tmp_path: Path, content: object, reason: str
) -> None:
    save_all(study, tmp_path)
    save(tmp_path, "wrong.json", content)
    ratings = read_ratings(study, tmp_path)
    [aside] = ratings.aside
    assert (aside.file, aside.row) == ("wrong.json", "")
    assert aside.reason.startswith(reason)
    assert len(ratings.used) == 24 * 12


def test_the_form_that_was_saved_first_counts(study: Study, tmp_path: Path) -> None:
    first, second = filled(study, "p03", seed=1), filled(study, "p03", seed=2)
    second["saved_at"] = "2026-11-28T09:29:59.000Z"
    save(tmp_path, "a.json", first)
    save(tmp_path, "b.json", second)
    ratings = read_ratings(study, tmp_path)
    assert {each.file for each in ratings.aside} == {"a.json"}
    assert len(ratings.aside) == 13
    assert all("has handed in before" in each.reason for each in ratings.aside)
    assert len(ratings.used) == 12


def test_an_unknown_person_is_kept_aside(study: Study, tmp_path: Path) -> None:
    save(tmp_path, "one.json", {**filled(study, "p03"), "participant": "p99"})
    ratings = read_ratings(study, tmp_path)
    assert len(ratings.aside) == 13
    assert {each.reason for each in ratings.aside} == {"there is no participant 'p99' in this study"}


def test_who_misses_an_attention_check_is_kept_aside_unless_asked(study: Study, tmp_path: Path) -> None:
    form = filled(study, "p03")
    [check] = [row for row, page in zip(form["ratings"], study.pages["p03"], strict=True) if page.asked_for]
    check["satisfaction"] = check["satisfaction"] % 5 + 1
    save(tmp_path, "one.json", form)
    save(tmp_path, "two.json", {**filled(study, "p03"), "saved_at": "2026-11-28T10:00:00.000Z"})
    ratings = read_ratings(study, tmp_path)
    assert len(ratings.used) == 0
    assert next(each.reason for each in ratings.aside if each.file == "one.json").startswith(
        f"missed the attention check on page {check['page']}: asked for {check['plausibility']}"
    )
    assert all("handed in before" in each.reason for each in ratings.aside if each.file == "two.json")
    assert len(read_ratings(study, tmp_path, keep_inattentive=True).used) == 12


def test_a_table_without_a_construct_is_kept_aside(study: Study, tmp_path: Path) -> None:
    save(tmp_path, "x.csv", "participant,item,plausibility\np01,a,3\n")
    [aside] = read_ratings(study, tmp_path).aside
    assert aside.reason.startswith("has no column understandability, completeness, satisfaction, contrastiveness")


def ratings_table(values: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=list(NAMES))
    table["quality"] = table.mean(axis=1)
    return table


def test_cronbach_alpha_is_that_of_its_formula() -> None:
    same = np.repeat(np.arange(1, 6)[:, None], 5, axis=1)
    assert cronbach_alpha(ratings_table(same)) == pytest.approx(1.0)
    generator = np.random.default_rng(0)
    noise = ratings_table(generator.integers(1, 6, (20000, 5)))
    assert cronbach_alpha(noise) == pytest.approx(0.0, abs=0.05)
    parallel = generator.normal(0, 1, (40000, 1)) + generator.normal(0, 1, (40000, 5))  # correlation 0.5
    assert cronbach_alpha(ratings_table(parallel)) == pytest.approx(5 * 0.5 / (1 + 4 * 0.5), abs=0.01)
    assert np.isnan(cronbach_alpha(ratings_table(np.full((4, 5), 3))))


def test_people_who_agree_have_an_alpha_of_one_and_chance_has_none() -> None:
    generator = np.random.default_rng(0)
    items = [f"i{number}" for number in range(300)]
    truth = generator.integers(1, 6, 300)

    def table(ratings: list[np.ndarray]) -> pd.DataFrame:
        rows = [
            {"participant": f"p{who}", "item": item, "plausibility": value}
            for who, values in enumerate(ratings)
            for item, value in zip(items, values, strict=True)
        ]
        return pd.DataFrame(rows)

    assert krippendorff_alpha(table([truth, truth, truth]), "plausibility") == pytest.approx(1.0)
    chance = [generator.integers(1, 6, 300) for _ in range(3)]
    assert krippendorff_alpha(table(chance), "plausibility") == pytest.approx(0.0, abs=0.08)
    assert np.isnan(krippendorff_alpha(table([truth]), "plausibility"))


def test_a_planted_difference_is_found_and_its_size_is_right(study: Study, tmp_path: Path) -> None:
    save_all(study, tmp_path / "planted", {"scott": 0.9})
    save_all(study, tmp_path / "none")
    planted, none = (read_ratings(study, tmp_path / name).used for name in ("planted", "none"))
    assert all(test.p_holm < 0.01 for test in kruskal_wallis(planted, METHODS))
    assert all(test.p > 0.05 for test in kruskal_wallis(none, METHODS) if test.construct == "quality")
    for pair in dunn(planted, METHODS):
        if pair.construct == "quality":
            assert (pair.p_holm < 0.01) == ("scott" in (pair.first, pair.second))
            assert pair.p <= pair.p_holm <= pair.p_bonferroni
            assert (pair.a > 0.65) == (pair.second == "scott")
    coefficients, notes = models_of_quality(planted, METHODS)
    for model in ("linear", "mixed"):
        [scott] = [each for each in coefficients if (each.model, each.term) == (model, "scott")]
        assert 0.6 < scott.estimate < 1.1
        assert scott.low > 0.4
        others = [each for each in coefficients if each.model == model and each.term in METHODS and each is not scott]
        assert all(abs(each.estimate) < 0.2 and each.p > 0.01 for each in others), others
    widths = {each.model: each.high - each.low for each in coefficients if each.term == "scott"}
    assert widths["mixed"] < widths["linear"]  # the levels of people are no noise to it
    assert any("between participants" in note for note in notes)
    means = {(each.method, each.construct): each for each in mean_ratings(planted, METHODS)}
    assert means["scott", "quality"].low > means["multitask", "quality"].high


def test_the_report_and_its_files(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_explained(results)
    study = make_study(results, people=16)
    (tmp_path / "study").mkdir()
    write_study(study, tmp_path / "study" / "study.json")
    save_all(study, tmp_path / "filled", {"scott": 0.9})
    save(tmp_path / "filled", "broken.json", "{")
    command = ["study", "analyse", "--study", str(tmp_path / "study"), "--ratings", str(tmp_path / "filled")]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "kept aside: broken.json: is no whole JSON file" in captured.err
    assert "16 of 16 people, 192 ratings" in captured.out
    assert "| scott " in captured.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *("report.md", "ratings.csv", "aside.csv", "means.csv", "kruskal_wallis.csv", "dunn.csv", "models.csv"),
        *("ratings.png", "ratings.pdf"),
    }
    assert (tmp_path / "out" / "report.md").read_text(encoding="utf-8") == captured.out
    assert list(pd.read_csv(tmp_path / "out" / "aside.csv")["file"]) == ["broken.json"]


@pytest.mark.parametrize("where", ["study", "ratings"])
def test_a_missing_folder_is_one_line(study: Study, tmp_path: Path, capsys: Capture, where: str) -> None:
    write_study(study, tmp_path / "study.json")
    folders = {"study": tmp_path, "ratings": tmp_path} | {where: tmp_path / "nowhere"}
    (tmp_path / "nothing").mkdir()
    command = ["study", "analyse", "--study", str(folders["study"]), "--ratings", str(folders["ratings"])]
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
