"""A real browser fills in a questionnaire, on a desktop and on a phone; its saved file is analysed.

Needs the package playwright and a Chromium on the PATH. Screenshots lie in pytest's temporary folder (`--basetemp`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.study.constructs import NAMES
from analysis.study.plan_file import Study
from analysis.study.questionnaire import write_questionnaires
from analysis.study.submissions import read_ratings
from tests.analysis.study.study_files import filled, make_study, write_explained

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def study(results: Path) -> Study:
    write_explained(results)
    return make_study(results, people=2, slots=6, most_per_method=2)


def rate(page: Any, ratings: dict[str, Any]) -> None:
    for name in NAMES:
        page.locator(f'fieldset[data-construct="{name}"] label').nth(ratings[name] - 1).click()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_filled_page_is_saved_as_it_was_clicked(
    browser: Any, study: Study, tmp_path: Path, size: dict[str, int]
) -> None:
    write_questionnaires(study, tmp_path)
    context = browser.new_context(viewport=size, has_touch=size is PHONE)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
    place = (tmp_path / "questionnaires" / "p2.html").as_uri()
    page.goto(place)
    page.screenshot(path=tmp_path / "introduction.png")
    page.get_by_role("button", name="Begin").click()
    planned = filled(study, "p2")["ratings"]
    for number, ratings in enumerate(planned):
        assert page.locator("h1").inner_text() == f"Page {number + 1} of {len(planned)}"
        if number == 1:
            page.get_by_role("button", name="Next").click()
            assert page.locator(".warning").inner_text() == "Please rate all statements; 5 left."
            page.screenshot(path=tmp_path / "missing.png", full_page=True)
        rate(page, ratings)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], "the page scrolls sideways"
        if number == 2:
            page.screenshot(path=tmp_path / "rated.png", full_page=True)
            page.reload()  # a closed page goes on where it was left
            assert page.locator("h1").inner_text() == f"Page 3 of {len(planned)}"
            assert page.locator("input:checked").count() == len(NAMES)
        page.get_by_role("button", name="Next").click()
    assert page.locator("h1").inner_text() == "All pages are rated. Thank you!"
    page.screenshot(path=tmp_path / "end.png")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the file").click()
    assert download.value.suggested_filename == "ratings-p2.json"
    (tmp_path / "saved").mkdir()
    download.value.save_as(tmp_path / "saved" / download.value.suggested_filename)
    assert problems == []
    context.close()
    ratings = read_ratings(study, tmp_path / "saved")
    assert ratings.aside == ()
    wanted = {row["item"]: [row[name] for name in NAMES] for row in planned}
    found = {row["item"]: [row[name] for name in NAMES] for row in ratings.used.to_dict("records")}
    assert len(found) == 6
    assert found == {item: wanted[item] for item in found}


def test_a_questionnaire_that_is_stopped_is_saved_half(browser: Any, study: Study, tmp_path: Path) -> None:
    write_questionnaires(study, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "questionnaires" / "p1.html").as_uri())
    page.get_by_role("button", name="Begin").click()
    rate(page, filled(study, "p1")["ratings"][0])
    page.get_by_role("button", name="Next").click()
    page.locator('fieldset[data-construct="satisfaction"] label').nth(2).click()
    page.get_by_role("button", name="Stop here").click()
    assert page.locator("h1").inner_text() == "6 of 7 pages are not finished"
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "copied.json").write_text(page.locator("textarea").input_value(), encoding="utf-8")
    page.close()
    ratings = read_ratings(study, tmp_path / "saved")
    assert len(ratings.used) == 1
    assert len(ratings.aside) >= 4
    assert all(each.reason.startswith("half filled") for each in ratings.aside)


def test_the_keyboard_alone_is_enough(browser: Any, study: Study, tmp_path: Path) -> None:
    write_questionnaires(study, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "questionnaires" / "p1.html").as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for _ in NAMES:
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
    assert page.locator("input:checked").count() == len(NAMES)
    assert page.locator("input:checked").first.get_attribute("value") == "2"
    page.close()
