"""Each number of the page of results, and of the README's tables, has a record behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.commands.app import main
from analysis.records.archive import unpacked

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that is made anew from the stored records."""
    page = tmp_path_factory.mktemp("docs") / "results.md"
    assert main(["gallery", "--archives", str(STORED), "--output", str(page)]) == 0
    return page


def test_the_page_says_what_the_records_say(made: Path) -> None:
    assert (ROOT / "docs" / "results.md").read_text("utf-8") == made.read_text("utf-8")


def test_the_pictures_show_what_the_records_say(made: Path) -> None:
    points = {path.name: path.read_text("utf-8") for path in made.with_suffix("").glob("*.csv")}
    assert points == {path.name: path.read_text("utf-8") for path in STORED.glob("*.csv")}
    assert {path.name for path in STORED.glob("*.png")} == {name.replace(".csv", ".png") for name in points}


def test_every_archive_is_shown() -> None:
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    archives = list(STORED.glob("*.tar.xz"))
    assert archives
    assert all(f"results/{path.name}" in page for path in archives)
    assert all(path.stat().st_size < 500_000 for path in archives)


def test_the_tables_of_the_readme_are_the_quickstarts(capsys: pytest.CaptureFixture[str]) -> None:
    with unpacked(STORED / "quickstart.tar.xz") as folder:
        assert main(["table", "--results", str(folder)]) == 0
    tables, _, _ = capsys.readouterr().out.partition("\n- ±")
    assert tables.count("| answer_only ") == 2
    assert tables in (ROOT / "README.md").read_text("utf-8")
