"""`python -m analysis COMMAND`, also installed as `benchmark-analysis`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from analysis.commands.gallery import gallery, pack
from analysis.commands.plots import frontier, plot
from analysis.commands.report import report
from analysis.commands.results import (
    ablation,
    anova,
    compare,
    composition,
    curves,
    explanations,
    reproduce,
    table,
    tuning,
)
from analysis.commands.state import status
from analysis.commands.study import study
from analysis.commands.tracking import wandb_report, wandb_sync
from analysis.records.load import ResultsError
from analysis.statistics.compare import NoBaselineError

EPILOG = """Exit status: 0 = all records were read; 1 = some files were damaged (named on stderr, the rest is shown);
2 = nothing to show. Cells that failed are shown and do not change the exit status."""

app = typer.Typer(
    name="benchmark-analysis",
    help="Read the records of finished cells; nothing is trained or changed.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    table,
    curves,
    compare,
    frontier,
    plot,
    ablation,
    composition,
    reproduce,
    anova,
    explanations,
    tuning,
    report,
    pack,
    gallery,
    status,
):
    app.command()(command)
app.command("wandb-sync")(wandb_sync)
app.command("wandb-report")(wandb_report)
app.add_typer(study, name="study")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 or 2, as `EPILOG` explains."""
    try:
        app(arguments if arguments is None else list(arguments))
    except (ResultsError, NoBaselineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def entry() -> None:
    """The installed program."""
    sys.exit(main())
