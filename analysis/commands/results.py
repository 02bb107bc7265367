"""Commands that compare methods: `table`, `curves`, `compare`, `anova`, `explanations`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.options import (
    FormatOption,
    JsonOption,
    OutputOption,
    PlotOption,
    ResultsOption,
    TextFormat,
    finish,
    json_rows,
    readable,
    require,
    say,
    show,
    wrote,
)
from analysis.output.ablation import (
    ablation_frame,
    ablation_table,
    ablations,
    composition_frame,
    composition_table,
    compositions,
)
from analysis.output.columns import DECIDING
from analysis.output.comparison import comparison_frame, comparison_table
from analysis.output.curves import all_rows, curve_table
from analysis.output.explanations import explanation_table, measured_explanations
from analysis.output.plots.curves import curves_drawing
from analysis.output.plots.picture import write_pictures
from analysis.output.render import FAILED_COLUMNS, failed_rows, markdown_table, render
from analysis.output.reproduction import reproduce as reproduction_of
from analysis.output.tables import Table, build_table
from analysis.output.terminal import home_path, write_text
from analysis.output.trace import trace_text
from analysis.output.tuning import tuning_frame, tuning_table
from analysis.output.variance import runs_of, variance_report
from analysis.records.explained import HOW_TO_EXPLAIN
from analysis.records.load import WHAT_TO_RUN, ResultsError, places
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.compare import blocks_with, comparisons
from analysis.statistics.curves import known_curves
from analysis.statistics.tuning import at_chosen_rates, searches

TunedOption = Annotated[
    bool, typer.Option("--tuned", help="Of methods with several learning rates, the one that validation chose.")
]


class TableFormat(StrEnum):
    """How `table` can be written."""

    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"


def table(
    results: ResultsOption,
    kind: Annotated[TableFormat, typer.Option("--format", help="csv: raw numbers.")] = TableFormat.MARKDOWN,
    columns: Annotated[
        str, typer.Option(metavar="all|NAME,NAME", help="Which columns; all but csv and JSON, which have every one.")
    ] = ",".join(DECIDING),
    trace: Annotated[
        bool, typer.Option("--trace", help="Also which records each number comes from, seed by seed.")
    ] = False,
    tuned: TunedOption = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Results per method: accuracy, gap closed, cost.

    Example: python -m analysis table --results results/quickstart --columns all --trace
    """
    records = readable(results)
    files = OutcomeFiles()
    built = build_table(at_chosen_rates(records) if tuned else records, files)
    chosen = tuple(name.strip() for name in columns.split(","))
    text = json_rows(built.frame) if as_json else render(built, kind, chosen)
    write_text(text + (f"\n{trace_text(built, records)}" if trace else ""), output)
    if kind is TableFormat.CSV or as_json:
        say(_beside_rows(built))
    finish([*records.problems, *files.problems])


def tuning(
    results: ResultsOption,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """The learning rate that validation chose for each method, and what the search cost.

    Example: python -m analysis tuning --results results/tuning
    """
    records = readable(results)
    found = searches(records)
    if not found:
        raise ResultsError(
            f"no method in {places(records)} was run with several learning rates: try experiment=tuning, or add "
            "optimization.learning_rate=1e-4,3e-4,1e-3 to a multirun"
        )
    show(tuning_frame(found), lambda: tuning_table(found), kind, as_json, output)
    finish(records.problems)


def curves(
    results: ResultsOption,
    plot: PlotOption = None,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """After every round: questions, costs, validation, what revisions kept.

    Example: python -m analysis curves --results results/elad_small --plot curves
    """
    records = readable(results)
    found = known_curves(records)
    show(all_rows(found), lambda: curve_table(found), kind, as_json, output)
    if plot is not None:
        wrote(write_pictures(curves_drawing(found).pictures, plot))
    finish(records.problems)


def compare(
    results: ResultsOption,
    baseline: Annotated[str, typer.Option(metavar="METHOD", help="The method that others are compared with.")],
    tuned: TunedOption = False,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Each method against one, on the same seeds and questions, with tests; at equal questions and tokens.

    Example: python -m analysis compare --results results/quickstart --baseline answer_only
    """
    records = readable(results)
    blocks = known_curves(at_chosen_rates(records) if tuned else records)
    blocks = blocks_with(blocks, baseline)
    files = OutcomeFiles()
    found = {block.title: comparisons(block, baseline, files) for block in blocks}
    frame = comparison_frame(blocks, found, baseline)
    show(frame, lambda: comparison_table(found, baseline), kind, as_json, output)
    finish([*records.problems, *files.problems])


def ablation(
    results: ResultsOption,
    base: Annotated[str, typer.Option(metavar="METHOD", help="The method of which one axis is changed at a time.")],
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """A method with one axis changed at a time: result, paired difference, test, and cost as a multiple.

    Example: python -m analysis ablation --results results/elad_small --base elad
    """
    records, files = readable(results), OutcomeFiles()
    found = ablations(records, base, files)
    show(ablation_frame(found, base), lambda: ablation_table(found, base), kind, as_json, output)
    finish([*records.problems, *files.problems])


def composition(
    results: ResultsOption,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Two axes, each changed or not: do their gains add up? Main effects and interaction with intervals.

    Example: python -m analysis composition --results results/elad_small
    """
    records = readable(results)
    found = compositions(records)
    show(composition_frame(found), lambda: composition_table(found), kind, as_json, output)
    finish(records.problems)


def reproduce(
    which: Annotated[str, typer.Argument(metavar="NAME", help="A paper, or an experiment that stands for one.")],
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help="Where our cells' folders are, if any.", parser=home_path),
    ] = None,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """A paper's numbers, ours beside them, a verdict that never mixes scales, and the commands at the paper's scale.

    Example: python -m analysis reproduce honey_cqa --results results/honey_cqa
    """
    text, frame = reproduction_of(results or [], which)
    show(frame, lambda: text, kind, as_json, output)


def anova(
    results: ResultsOption,
    drop_outliers: Annotated[
        bool, typer.Option("--drop-outliers", help="Leave out runs beyond 1.5 interquartile ranges of their cell.")
    ] = False,
    output: OutputOption = None,
) -> None:
    """Analysis of variance of methods and students, and Tukey's pairs.

    Example: python -m analysis anova --results results/honey_small
    """
    require({"statsmodels": "statsmodels"}, "an analysis of variance", "statistics")
    records = readable(results)
    runs = runs_of(records)
    if not runs:
        raise ResultsError(f"{places(records)} holds no finished cell: {WHAT_TO_RUN}")
    try:
        text = variance_report(runs, drop_outliers)
    except ValueError as error:
        raise ResultsError(str(error)) from error
    write_text(text, output)
    finish(records.problems)


def explanations(
    results: ResultsOption,
    simulatability: Annotated[
        bool, typer.Option("--simulatability", help="Also how far explanations help to guess answers; takes seconds.")
    ] = False,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """What students wrote when they explained test questions.

    Example: python -m analysis explanations --results results/honey_small --simulatability
    """
    if simulatability:
        require({"sklearn": "scikit-learn"}, "simulatability", "statistics")
    records = readable(results)
    found = measured_explanations(records, simulatability)
    if found.frame.empty:
        without = f"no cell in {places(records)} has explanations: {HOW_TO_EXPLAIN}"
        raise ResultsError(str(found.problems[0]) if found.problems else without)
    show(found.frame, lambda: explanation_table(found), kind, as_json, output)
    finish([*records.problems, *found.problems])


def _beside_rows(built: Table) -> list[str]:
    """Failed cells and notes, which raw rows cannot hold."""
    failed = [markdown_table(FAILED_COLUMNS, failed_rows(built.failed, built.short_ids))] if built.failed else []
    return [*failed, *(f"- {note}" for note in built.notes)]
