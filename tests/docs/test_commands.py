"""Every command of the pages that needs nothing of the reader's own is possible, or refused as printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OF_THE_READER = re.compile(r"\b[A-Z]{3,}\b|\.\.\.|searchpath|--help|localhost|gsm_symbolic")
"""A placeholder in capitals, something left out, a folder or a package of the reader's, a server."""
START = "python -m benchmark "
ELSEWHERE = ("mode=", "results_dir=")


def printed(page: Path) -> Iterator[tuple[str, str]]:
    """The commands in a page's blocks of code, with the line that follows each."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:bash|text)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = [*re.sub(r" \\\n\s*", " ", block).splitlines(), ""]
        for line, following in pairwise(lines):
            command = line.removeprefix("$ ").partition(" #")[0].rstrip()
            if f"{command} ".startswith(START) and not OF_THE_READER.search(command):
                yield " ".join(word for word in command.split() if not word.startswith(ELSEWHERE)), following


COMMANDS = dict(pair for page in PAGES for pair in printed(page))
"""By command without its mode and its results folder."""


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 12
    assert any(following.startswith("error: ") for following in COMMANDS.values())


@pytest.mark.slow
@pytest.mark.parametrize("line", sorted(COMMANDS))
def test_a_printed_command_does_what_the_page_says(line: str, command: Callable[..., Any]) -> None:
    done, following = command(*shlex.split(line)[3:], "mode=plan"), COMMANDS[line]
    if following.startswith("error: "):
        assert done.status == 2
        assert done.err.startswith(following)
    else:
        assert done.status == 0, done.err
