"""What several commands share: their options, how results reach the terminal, and the exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from analysis.output.terminal import home_path, write_text
from analysis.records.load import WHAT_TO_RUN, Problem, Records, ResultsError, load_records, places

ResultsOption = Annotated[
    list[Path],
    typer.Option(
        "--results", metavar="DIR", help="Where the cells' folders are; repeat it for several.", parser=home_path
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write to FILE instead of the terminal.", parser=home_path),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Also draw it: FILE.png, FILE.pdf and FILE.csv.", parser=home_path),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as JSON, for scripts.")]


class TextFormat(StrEnum):
    """What a command without a layout of its own can write."""

    MARKDOWN = "markdown"
    CSV = "csv"


FormatOption = Annotated[TextFormat, typer.Option("--format", help="csv: raw numbers.")]


def readable(results: Sequence[Path]) -> Records:
    """All records of the folders. Raises ResultsError where there is none."""
    records = load_records(*results)
    if not records.cell_ids and not records.problems:
        raise ResultsError(f"{places(records)} holds no record: {WHAT_TO_RUN}")
    return records


def show(frame: pd.DataFrame, text: Callable[[], str], kind: TextFormat, as_json: bool, output: Path | None) -> None:
    """Writes a command's result as JSON rows, as raw csv, or as the text that `text` makes."""
    if as_json:
        write_text(json_rows(frame), output)
    elif kind is TextFormat.CSV:
        write_text(frame.to_csv(index=False), output)
    else:
        write_text(text(), output)


def json_rows(frame: pd.DataFrame) -> str:
    """The rows of a frame as a JSON list of objects; a missing value is null."""
    return json_text(json.loads(frame.to_json(orient="records", double_precision=15)))


def json_text(content: Any) -> str:
    """Plain data as indented JSON text that ends in a newline."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def say(lines: Iterable[str]) -> None:
    """Writes lines beside the result, on standard error."""
    sys.stderr.writelines(f"{line}\n" for line in lines)


def wrote(paths: Iterable[Path]) -> None:
    """Says which files there are now."""
    say(f"wrote {path}" for path in paths)


def finish(problems: Sequence[Problem]) -> None:
    """Names what was skipped. Raises typer.Exit with status 1 if that is anything."""
    say(f"skipped {problem}" for problem in problems)
    if problems:
        raise typer.Exit(1)


def require(packages: Mapping[str, str], what: str, extra: str) -> None:
    """Raises ResultsError that names the extra if one of the packages (module -> name on the index) is missing."""
    from importlib.util import find_spec

    missing = [name for module, name in packages.items() if find_spec(module) is None]
    if missing:
        raise ResultsError(f"{what} needs {', '.join(missing)}: pip install 'distillation-benchmark[{extra}]'")
