"""A real browser reads the report, on a desktop and on a phone, in the light and in the dark, and prints it.

Needs the package playwright and a Chromium on the PATH; `npm` fetches axe-core for the test of accessibility.
Screenshots and the print lie in pytest's temporary folder (`--basetemp`).
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import load_results, write_report
from tests.analysis.output.report_files import full_record, predictions, write_cell, write_full_sweep
from tests.analysis.study.study_files import explanations

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
A4_PIXELS = 794
LONG_METHOD = "multitask_counterfactual+annotation=critique_revision_and_counterfactual+format=multitask_short"
OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter((element) => !element.closest(".scroll") || element.matches(".scroll"))
    .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((element) => element.outerHTML.slice(0, 80))"""
OVERLAPS = """() => [...document.querySelectorAll("main, section, details, .answer, figure")].flatMap((around) => {
    const boxes = [...around.children].map((child) => [child, child.getBoundingClientRect()])
        .filter(([, box]) => box.width && box.height);
    return boxes.slice(1).filter(([, box], place) => box.top < boxes[place][1].bottom - 1
        && box.left < boxes[place][1].right - 1).map(([child]) => child.outerHTML.slice(0, 80));
})"""
CUT_TABLES = """() => [...document.querySelectorAll("table")]
    .filter((table) => table.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((table) => table.outerHTML.slice(0, 120))"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all sections filled, and with a method of a long name and an answer without a space."""
    folder = tmp_path_factory.mktemp("report")
    folders = write_full_sweep(folder / "results")
    for seed in (1, 2, 3):
        explanations("x", 9).to_parquet(folders["elad", seed] / "explanations.parquet")
        frame = predictions([True] * 9, rationale="word" * 200)
        write_cell(folder / "results", full_record(LONG_METHOD, seed), frame)
    return write_report(load_results(folder / "results"), folder)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, fetched into a temporary folder; skips where it cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on the PATH")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", "axe-core@4"], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"axe-core cannot be fetched: {done.stderr[-200:]}")
    [package] = folder.glob("axe-core-*.tgz")
    with tarfile.open(package) as files:
        member = files.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode("utf-8")


def opened(browser: Any, report: Path, size: str = "desktop", scheme: str = "light") -> tuple[Any, list[str]]:
    """(the page, to which what it complains about is added)."""
    page = browser.new_context(viewport=SIZES[size], color_scheme=scheme, has_touch=size == "phone").new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: problems.append(asked.url) if not asked.url.startswith("file:") else None)
    page.goto(report.as_uri())
    return page, problems


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_nothing_sticks_out_or_lies_over_another(
    browser: Any, report: Path, tmp_path: Path, size: str, scheme: str
) -> None:
    page, problems = opened(browser, report, size, scheme)
    for state in ("closed", "open"):
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
        assert page.evaluate(OVERLAPS) == []
        page.screenshot(path=tmp_path / f"{state}.png", full_page=True)
        unfold(page)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert problems == []
    page.context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious(browser: Any, report: Path, axe: str, size: str, scheme: str) -> None:
    page, _ = opened(browser, report, size, scheme)
    unfold(page)
    page.evaluate(axe)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in serious] == []
    page.context.close()


def test_letters_and_lines_of_pictures_stand_out_in_both_schemes(browser: Any, report: Path) -> None:
    inks = {}
    for scheme in SCHEMES:
        page, _ = opened(browser, report, scheme=scheme)
        look = "(svg) => getComputedStyle(svg.querySelector('use')).fill"
        inks[scheme] = page.locator("figure svg").first.evaluate(look)
        page.context.close()
    assert inks["light"] != inks["dark"]


def shown(page: Any) -> int:
    return int(page.locator(".example:visible").count())


def test_examples_are_filtered(browser: Any, report: Path) -> None:
    page, problems = opened(browser, report)
    page.locator(".filters").wait_for()
    assert shown(page) == 9
    page.locator("#words").fill("What is 3 +")
    assert shown(page) == 1
    assert page.locator("#count").inner_text() == "1 of 9 questions shown"
    page.locator("#words").fill("")
    page.locator("#method").select_option("elad")
    page.locator("#result").select_option("wrong")
    assert shown(page) == 1  # elad answers all but q-8
    page.locator("#result").select_option("right")
    assert shown(page) == 8
    page.locator("#method").select_option("gold_answers")
    assert shown(page) == 0
    page.locator("#method").select_option("")
    page.locator("#result").select_option("")
    page.locator("#agreement").select_option("right")
    assert shown(page) == 0
    page.locator("#agreement").select_option("disagree")
    assert shown(page) == 9
    page.locator("#words").fill("q-1;")
    page.locator("#open").click()
    assert page.locator(".example[open]").count() == 1
    page.locator("#close").click()
    assert page.locator(".example[open]").count() == 0
    assert problems == []
    page.context.close()


def test_a_row_leads_to_its_records(browser: Any, report: Path) -> None:
    page, _ = opened(browser, report)
    page.get_by_role("link", name="elad", exact=True).first.click()
    assert page.locator("tr:target").inner_text().startswith("elad")
    page.context.close()


def test_print_cuts_no_table_and_leaves_closed_examples_out(browser: Any, report: Path, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": A4_PIXELS - 106, "height": 1000}, color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator(".example").first.evaluate("(example) => { example.open = true; }")
    page.emulate_media(media="print")
    assert page.evaluate(CUT_TABLES) == []
    assert shown(page) == 1
    assert page.get_by_text("Examples that are closed are left out of print.").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    page.evaluate("document.querySelectorAll('.folded').forEach((details) => { details.open = true; })")
    assert page.evaluate(CUT_TABLES) == []
    context.close()
