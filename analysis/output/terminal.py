"""What all commands of the analysis share: paths that are given, and text that goes to a terminal or a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home_path(path: str) -> Path:
    """The path with `~` as the home folder, which a shell leaves as it is behind `--results=`."""
    return Path(path).expanduser()


def write_text(text: str, output: Path | None) -> None:
    """Writes to the terminal, or to a file; a failed write leaves an old file unchanged."""
    if output is None:
        sys.stdout.write(_printable(text, sys.stdout.encoding or "ascii"))
        return
    write_bytes(text.encode("utf-8"), output)


def write_bytes(content: bytes, output: Path) -> None:
    """Writes a file; a failed write leaves an old one unchanged."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(output)


def _printable(text: str, encoding: str) -> str:
    """The text in the characters that a terminal knows: `+-` for `±`, and escapes for what is left."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("±", "+-").encode(encoding, "backslashreplace").decode(encoding)
    return text
