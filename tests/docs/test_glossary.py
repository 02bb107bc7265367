"""Every word of docs/glossary.md lives where the glossary says, and has one sentence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| `([\w./-]+)`(?:: `([\w.]+)`)? \|$", PAGE, re.MULTILINE)


def defined(path: Path) -> set[str]:
    """Classes and functions of a file, and the fields and methods of its classes as `Class.name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for each in node.body for name in members(each)}
    return found


def members(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def test_every_row_is_read_and_in_order() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| **")]
    words = [word for word, *_ in ROWS]
    assert len(rows) == len(ROWS) >= 20
    assert words == sorted(words, key=str.lower)
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(("word", "sentence", "path", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_a_word_lives_where_the_glossary_says(word: str, sentence: str, path: str, name: str) -> None:
    assert (ROOT / path).is_file(), f"{path} is not there"
    assert bool(name) == path.endswith(".py"), "a Python file is named with what it defines"
    assert not name or name in defined(ROOT / path), f"{name} is not in {path}"
    plain = re.sub(r"`[^`]*`", "", sentence)
    assert plain.endswith("."), f"{word} has no whole sentence"
    assert not re.search(r"[.?!] ", plain), f"{word} has more than one sentence"
