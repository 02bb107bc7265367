"""`report`: one page with everything that the records say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.options import ResultsOption, finish, readable, wrote
from analysis.output.report.page import write_report
from analysis.output.terminal import home_path
from analysis.records.results import Results


def report(
    results: ResultsOption,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Write DIR/report.html.", parser=home_path)],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="What others are compared with; without it answer_only, or the first one."),
    ] = None,
) -> None:
    """One HTML page for a reviewer: protocol, results, costs, failures, examples, provenance.

    Example: python -m analysis report --results results/quickstart --output report
    """
    found = Results(readable(results))
    wrote([write_report(found, output, baseline)])
    finish(found.problems)
