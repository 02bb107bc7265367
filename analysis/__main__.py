"""`python -m analysis table` and `python -m analysis status`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.output.render import FAILED_COLUMNS, FORMATS, failed_rows, markdown_table, render
from analysis.output.status import build_status, status_json, status_text
from analysis.output.tables import Table, build_table
from analysis.records.load import WHAT_TO_RUN, Problem, ResultsError, load_records

EPILOG = """\
exit status: 0 = all records were read; 1 = some files were damaged (named on stderr, the rest is shown);
2 = nothing to show. Cells that failed are shown and do not change the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 or 2, as `EPILOG` explains."""
    options = _parser().parse_args(arguments)
    try:
        problems = _table(options) if options.command == "table" else _status(options)
    except (ResultsError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for problem in problems:
        sys.stderr.write(f"skipped {problem}\n")
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Read the records of finished cells; nothing is trained or changed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{table,status}")
    table = commands.add_parser("table", help="results per method: accuracy, gap closed, cost, record ids")
    table.add_argument(
        "--format", choices=tuple(FORMATS), default="markdown", help="csv: raw numbers (default: markdown)"
    )
    table.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")
    status = commands.add_parser("status", help="which cells are complete, failed or missing")
    status.add_argument("--json", action="store_true", help="the same as JSON, for scripts")
    for command in (table, status):
        command.add_argument(
            "--results", type=_folder, required=True, metavar="DIR", help="where the cells' folders are"
        )
    return parser


def _table(options: argparse.Namespace) -> Sequence[Problem]:
    records = load_records(options.results)
    if not records.cell_ids and not records.problems:
        raise ResultsError(_nothing_in(options.results))
    table = build_table(records)
    _write(render(table, options.format), options.output)
    if options.format == "csv":
        sys.stderr.write(_beside_csv(table))
    return records.problems


def _beside_csv(table: Table) -> str:
    """Failed cells and notes, which the csv cannot hold."""
    failed = markdown_table(FAILED_COLUMNS, failed_rows(table.failed, table.short_ids)) + "\n" if table.failed else ""
    return failed + "".join(f"- {note}\n" for note in table.notes)


def _status(options: argparse.Namespace) -> Sequence[Problem]:
    status = build_status(options.results, load_records(options.results))
    if not status.states and not status.problems and not status.records.unfinished:
        raise ResultsError(_nothing_in(options.results))
    text = json.dumps(status_json(status), indent=2) + "\n" if options.json else status_text(status)
    _write(text, None)
    return status.problems


def _folder(path: str) -> Path:
    """The path with `~` as the home folder, which a shell leaves as it is behind `--results=`."""
    return Path(path).expanduser()


def _nothing_in(results: Path) -> str:
    return f"{results} holds no record: {WHAT_TO_RUN}"


def _write(text: str, output: Path | None) -> None:
    """Writes to the terminal, or to a file; a failed write leaves an old file unchanged."""
    if output is None:
        sys.stdout.write(_printable(text, sys.stdout.encoding or "ascii"))
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(output)


def _printable(text: str, encoding: str) -> str:
    """The text in the characters that a terminal knows: `+-` for `±`, and escapes for what is left."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("±", "+-").encode(encoding, "backslashreplace").decode(encoding)
    return text


if __name__ == "__main__":
    sys.exit(main())
