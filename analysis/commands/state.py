"""`status`: what is there of a sweep."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.options import JsonOption, ResultsOption, finish, json_text
from analysis.output.status import Status, build_status, status_json, status_text
from analysis.output.terminal import write_text
from analysis.records.load import WHAT_TO_RUN, ResultsError, load_records, places

SECONDS_BETWEEN_LOOKS = 5.0
WAITING = {"running", "missing"}
CLEAR = "\x1b[H\x1b[2J"


def status(
    results: ResultsOption,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every five seconds, until no cell is running or missing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Which cells are complete, failed, running or missing, and the time left.

    Example: python -m analysis status --results results/quickstart --watch
    """
    found = _look(results, as_json)
    while watch and WAITING & set(found.states.values()):
        time.sleep(SECONDS_BETWEEN_LOOKS)
        if sys.stdout.isatty():
            sys.stdout.write(CLEAR)
        found = _look(results, as_json)
    finish(found.problems)


def _look(results: Sequence[Path], as_json: bool) -> Status:
    found = build_status(load_records(*results))
    if not found.states and not found.problems and not found.records.unfinished:
        raise ResultsError(f"{places(found.records)} holds no record: {WHAT_TO_RUN}")
    write_text(json_text(status_json(found)) if as_json else status_text(found), None)
    sys.stdout.flush()
    return found
