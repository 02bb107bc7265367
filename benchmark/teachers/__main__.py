"""`python -m benchmark.teachers`: counts the replies of a teacher store, and copies them to another store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmark.errors import ConfigError
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.transfer import export_jsonl, import_jsonl


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 all well, 1 damaged or conflicting replies were left out, 2 wrong input."""
    options = _parser().parse_args(arguments)
    try:
        _refuse_absent(options)
        store = TeacherStore(options.store, _tell)
        try:
            return _do(options, store)
        finally:
            store.close()
    except (ConfigError, OSError) as error:
        _tell(f"error: {error}")
        return 2


def _do(options: argparse.Namespace, store: TeacherStore) -> int:
    if options.command == "count":
        sys.stdout.writelines(f"{count:>10} {what}\n" for what, count in store.counts().items())
        return 0
    move = export_jsonl if options.command == "export" else import_jsonl
    tally = move(store, options.file, _tell)
    sys.stdout.write(f"{options.command}: {tally}\n")
    return 0 if tally.complete else 1


def _refuse_absent(options: argparse.Namespace) -> None:
    if options.command != "import" and not options.store.is_file():
        raise ConfigError(f"there is no teacher store {options.store}; it usually lies in results_dir")
    if options.command == "import" and not options.file.is_file():
        raise ConfigError(f"there is no file {options.file} to import")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark.teachers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("export", "write every reply as a line of JSON"),
        ("import", "add the replies of an export; replies that the store already has are kept"),
        ("count", "show how many replies there are, and how many calls brought no final reply"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--store", type=Path, required=True, help="the store's file (setting store_path)")
        if name != "count":
            command.add_argument("file", type=Path, metavar="FILE", help="the file of JSON lines")
    return parser


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
