"""Every relative link leads to a file, and its anchor to a heading; the index lists every page; named files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "speed" / "README.md"])
CODE = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
FOLDERS = "analysis|benchmark|checks|conf|docs|hydra_plugins|methods|speed|tests"
FILE = re.compile(rf"`((?:{FOLDERS})/[\w/.-]+\.(?:py|md|yaml|j2|json))`")
PLACEHOLDERS = {"methods/paper.py", "docs/methods/NAME.md"}
"""Names of files that a page writes for any file of its kind."""
HISTORY = {"CHANGELOG.md", "docs/decisions.md"}
"""Pages that may name files of former days."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(page: Path) -> list[str]:
    """The targets of a page's links that stay in the repository."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        found.add(name if name not in found else f"{name}-{sum(each.startswith(name) for each in found)}")
    return found


ALL = [(page, target) for page in PAGES for target in links(page)]


@pytest.mark.parametrize(("page", "target"), ALL, ids=[f"{named(page)}: {target}" for page, target in ALL])
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), f"{named(page)} links to {path}, which is not there"
    assert file.is_relative_to(ROOT), f"{named(page)} links to {path}, which is outside of the repository"
    if anchor:
        assert anchor in anchors(file), f"{named(page)} links to #{anchor}; {path or 'it'} has {sorted(anchors(file))}"


@pytest.mark.parametrize("page", [page for page in PAGES if named(page) not in HISTORY], ids=named)
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [path for path in FILE.findall(text) if path not in PLACEHOLDERS and not (ROOT / path).is_file()]
    assert not missing, f"{named(page)} names {missing}"


def test_every_page_is_on_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md")} - {index.resolve()}
    assert sorted(map(named, pages - listed)) == []


def test_links_and_anchors_are_found() -> None:
    """The patterns above see what they should: else no other test here says anything."""
    assert len(ALL) > 40
    assert LINK.findall("a [b](c.md#d), [e `f`](g.md) and ![h](i.png)") == ["c.md#d", "g.md", "i.png"]
    assert "what-it-costs" in anchors(ROOT / "docs" / "how-to" / "use-a-live-teacher.md")
