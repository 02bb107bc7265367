"""`status`: what is there of a sweep."""

from __future__ import annotations

from analysis.commands.options import JsonOption, ResultsOption, finish, json_text
from analysis.output.status import build_status, status_json, status_text
from analysis.output.terminal import write_text
from analysis.records.load import WHAT_TO_RUN, ResultsError, load_records, places


def status(results: ResultsOption, as_json: JsonOption = False) -> None:
    """Which cells are complete, failed or missing.

    Example: python -m analysis status --results results/quickstart
    """
    found = build_status(load_records(*results))
    if not found.states and not found.problems and not found.records.unfinished:
        raise ResultsError(f"{places(found.records)} holds no record: {WHAT_TO_RUN}")
    write_text(json_text(status_json(found)) if as_json else status_text(found), None)
    finish(found.problems)
