"""`python -m analysis table`, `curves`, `compare`, `anova`, `explanations`, `status` and `study`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.output.comparison import comparison_frame, comparison_table
from analysis.output.curve_plot import plot_curves
from analysis.output.curves import all_rows, curve_table
from analysis.output.explanations import explanation_frame, explanation_table
from analysis.output.render import FAILED_COLUMNS, FORMATS, failed_rows, markdown_table, render
from analysis.output.status import build_status, status_json, status_text
from analysis.output.tables import Table, build_table
from analysis.output.terminal import home_path, write_text
from analysis.output.variance import runs_of, variance_report
from analysis.records.load import WHAT_TO_RUN, Problem, Records, ResultsError, load_records
from analysis.statistics.compare import NoBaselineError, blocks_with, comparisons
from analysis.statistics.curves import Curves, curves_of
from analysis.study.command import add_study, run_study

EPILOG = """\
exit status: 0 = all records were read; 1 = some files were damaged (named on stderr, the rest is shown);
2 = nothing to show. Cells that failed are shown and do not change the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 or 2, as `EPILOG` explains."""
    options = _parser().parse_args(arguments)
    try:
        problems = COMMANDS[options.command](options)
    except (ResultsError, NoBaselineError, OSError) as error:
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
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{table,curves,compare,anova,explanations,status,study}"
    )
    table = commands.add_parser("table", help="results per method: accuracy, gap closed, cost, record ids")
    table.add_argument(
        "--format", choices=tuple(FORMATS), default="markdown", help="csv: raw numbers (default: markdown)"
    )
    table.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")
    curves = commands.add_parser("curves", help="after every round: questions, costs, validation, what revisions kept")
    curves.add_argument("--plot", type=Path, metavar="FILE", help="also draw them: FILE.png, FILE.pdf and FILE.csv")
    compare = commands.add_parser(
        "compare", help="each method against one, seed by seed, at equal questions and tokens"
    )
    compare.add_argument("--baseline", required=True, metavar="METHOD", help="the method that others are compared with")
    anova = commands.add_parser("anova", help="analysis of variance of methods and students, and Tukey's pairs")
    anova.add_argument(
        "--drop-outliers", action="store_true", help="leave out runs beyond 1.5 interquartile ranges of their cell"
    )
    anova.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")
    explanations = commands.add_parser("explanations", help="what students wrote when they explained test questions")
    explanations.add_argument(
        "--simulatability", action="store_true", help="also how far explanations help to guess answers; takes seconds"
    )
    for command in (curves, compare, explanations):
        command.add_argument(
            "--format", choices=("markdown", "csv"), default="markdown", help="csv: raw numbers (default: markdown)"
        )
        command.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")
    status = commands.add_parser("status", help="which cells are complete, failed or missing")
    status.add_argument("--json", action="store_true", help="the same as JSON, for scripts")
    for command in (table, curves, compare, anova, explanations, status):
        command.add_argument(
            "--results", type=home_path, required=True, metavar="DIR", help="where the cells' folders are"
        )
    add_study(commands)
    return parser


def _table(options: argparse.Namespace) -> Sequence[Problem]:
    records = load_records(options.results)
    if not records.cell_ids and not records.problems:
        raise ResultsError(_nothing_in(options.results))
    table = build_table(records)
    write_text(render(table, options.format), options.output)
    if options.format == "csv":
        sys.stderr.write(_beside_csv(table))
    return records.problems


def _curves(options: argparse.Namespace) -> Sequence[Problem]:
    records, found = _known_curves(options.results)
    write_text(all_rows(found).to_csv(index=False) if options.format == "csv" else curve_table(found), options.output)
    if options.plot is not None:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        for number, block in enumerate(found):
            stem = options.plot if len(found) == 1 else options.plot.with_stem(f"{options.plot.stem}-{number + 1}")
            for path in plot_curves(block, stem):
                sys.stderr.write(f"wrote {path}\n")
    return records.problems


def _compare(options: argparse.Namespace) -> Sequence[Problem]:
    records, blocks = _known_curves(options.results)
    blocks = blocks_with(blocks, options.baseline)
    found = {block.title: comparisons(block, options.baseline) for block in blocks}
    frame = comparison_frame(blocks, found, options.baseline)
    text = frame.to_csv(index=False) if options.format == "csv" else comparison_table(found, options.baseline)
    write_text(text, options.output)
    return records.problems


def _anova(options: argparse.Namespace) -> Sequence[Problem]:
    if importlib.util.find_spec("statsmodels") is None:
        raise ResultsError(
            "an analysis of variance needs the package statsmodels: pip install 'distillation-benchmark[statistics]'"
        )
    records = load_records(options.results)
    runs = runs_of(records)
    if not runs:
        raise ResultsError(_nothing_in(options.results))
    try:
        text = variance_report(runs, options.drop_outliers)
    except ValueError as error:
        raise ResultsError(str(error)) from error
    write_text(text, options.output)
    return records.problems


def _explanations(options: argparse.Namespace) -> Sequence[Problem]:
    if options.simulatability and importlib.util.find_spec("sklearn") is None:
        raise ResultsError(
            "simulatability needs the package scikit-learn: pip install 'distillation-benchmark[statistics]'"
        )
    records = load_records(options.results)
    frame, silent = explanation_frame(records, options.results, options.simulatability)
    is_csv = options.format == "csv"
    write_text(frame.to_csv(index=False) if is_csv else explanation_table(frame, silent), options.output)
    return records.problems


def _known_curves(results: Path) -> tuple[Records, list[Curves]]:
    records = load_records(results)
    found = curves_of(records)
    if not found:
        raise ResultsError(_nothing_in(results))
    return records, found


def _beside_csv(table: Table) -> str:
    """Failed cells and notes, which the csv cannot hold."""
    failed = markdown_table(FAILED_COLUMNS, failed_rows(table.failed, table.short_ids)) + "\n" if table.failed else ""
    return failed + "".join(f"- {note}\n" for note in table.notes)


def _status(options: argparse.Namespace) -> Sequence[Problem]:
    status = build_status(options.results, load_records(options.results))
    if not status.states and not status.problems and not status.records.unfinished:
        raise ResultsError(_nothing_in(options.results))
    text = json.dumps(status_json(status), indent=2) + "\n" if options.json else status_text(status)
    write_text(text, None)
    return status.problems


COMMANDS = {
    "table": _table,
    "curves": _curves,
    "compare": _compare,
    "anova": _anova,
    "explanations": _explanations,
    "status": _status,
    "study": run_study,
}


def _nothing_in(results: Path) -> str:
    return f"{results} holds no record: {WHAT_TO_RUN}"


if __name__ == "__main__":
    sys.exit(main())
