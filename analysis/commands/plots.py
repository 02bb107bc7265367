"""Commands that draw: `plot` for pictures of any kind, `frontier` for results against costs as a table too."""

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
    readable,
    say,
    show,
    wrote,
)
from analysis.output.frontier import all_rows, frontier_table
from analysis.output.plots.agreement import agreement_drawing
from analysis.output.plots.cost import cost_drawing
from analysis.output.plots.critical_difference import critical_difference_drawing
from analysis.output.plots.curves import curves_drawing
from analysis.output.plots.forest import forest_drawing
from analysis.output.plots.frontier import Cost, frontier_drawing, frontier_frames
from analysis.output.plots.picture import Drawing, write_pictures
from analysis.output.plots.reliability import reliability_drawing
from analysis.output.plots.training import training_drawing
from analysis.output.terminal import home_path
from analysis.records.load import Records, ResultsError
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.curves import known_curves


class Kind(StrEnum):
    """What can be drawn."""

    FRONTIER = "frontier"
    CURVES = "curves"
    FOREST = "forest"
    CRITICAL_DIFFERENCE = "critical_difference"
    RELIABILITY = "reliability"
    AGREEMENT = "agreement"
    TRAINING = "training"
    COST = "cost"


SIMPLE = {
    Kind.CURVES: lambda records: curves_drawing(known_curves(records)),
    Kind.CRITICAL_DIFFERENCE: critical_difference_drawing,
    Kind.RELIABILITY: reliability_drawing,
    Kind.AGREEMENT: agreement_drawing,
    Kind.TRAINING: training_drawing,
    Kind.COST: cost_drawing,
}
"""The kinds that need the records alone."""


def plot(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="What to draw.", show_default=False)],
    results: ResultsOption,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Writes FILE.png, FILE.pdf and FILE.csv.", parser=home_path)
    ],
    baseline: Annotated[
        str | None, typer.Option(metavar="METHOD", help="For forest: the method that others are compared with.")
    ] = None,
    cost: Annotated[Cost | None, typer.Option(help="For frontier: which cost; tokens by default.")] = None,
) -> None:
    """Draw finished cells; one picture per block.

    Example: python -m analysis plot forest --results results/quickstart --baseline answer_only --output forest
    """
    if baseline is not None and kind is not Kind.FOREST:
        raise ResultsError(f"--baseline {baseline} says nothing for {kind}: leave it out, or draw forest")
    if cost is not None and kind is not Kind.FRONTIER:
        raise ResultsError(f"--cost {cost} says nothing for {kind}: leave it out, or draw frontier")
    records = readable(results)
    drawing = _drawing(kind, records, baseline, cost or Cost.TOKENS)
    wrote(write_pictures(drawing.pictures, output))
    say(drawing.notes)
    finish([*records.problems, *drawing.problems])


def _drawing(kind: Kind, records: Records, baseline: str | None, cost: Cost) -> Drawing:
    if kind is Kind.FRONTIER:
        return frontier_drawing(records, cost, OutcomeFiles())
    if kind is Kind.FOREST:
        if baseline is None:
            raise ResultsError("forest needs --baseline METHOD, the method that others are compared with")
        return forest_drawing(records, baseline)
    return SIMPLE[kind](records)


def frontier(
    results: ResultsOption,
    cost: Annotated[Cost, typer.Option(help="Which cost.")] = Cost.TOKENS,
    plot: PlotOption = None,
    kind: FormatOption = TextFormat.MARKDOWN,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Which methods are worth their cost, and what dominates the others.

    Example: python -m analysis frontier --results results/quickstart --cost questions --plot frontier
    """
    records, files = readable(results), OutcomeFiles()
    frames = frontier_frames(records, cost, files)
    show(all_rows(frames), lambda: frontier_table(frames, cost), kind, as_json, output)
    if plot is not None:
        drawing = frontier_drawing(records, cost, files)
        wrote(write_pictures(drawing.pictures, plot))
        say(drawing.notes)
    finish([*records.problems, *files.problems])
