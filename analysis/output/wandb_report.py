"""A report at Weights & Biases: the main table, scores against cost, curves, and what students wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.output.render import render
from analysis.output.tables import build_table
from analysis.output.terminal import write_text
from analysis.output.wandb_account import is_logged_in, require_wandb
from analysis.records.load import WHAT_TO_RUN, FinishedCell, Records, ResultsError, load_records
from benchmark.records.schema import EXAMPLES_TABLE, NOTHING, STEP_AXIS

if TYPE_CHECKING:
    from wandb_workspaces.reports import v2

TITLE = "Distilling the reasoning of language models"
COSTS = {"questions": "questions", "completion_tokens": "tokens of replies", "usd": "US dollars"}
"""Amounts that the teacher was charged for, by their name in the ledger, and how an axis calls them."""
WIDE, HIGH = 24, 14
"""The size of a table over the whole width, in units of the report's grid."""


def wandb_report(project: str, entity: str | None, results: Path, output: Path | None = None) -> list[str]:
    """Publishes a report on a project's runs, or writes it to a file; returns what to say to the user.

    The table comes from the records, with intervals, which W&B does not compute. All charts show the project's runs.

    Args:
        project: The project at W&B that holds the runs.
        entity: Its owner; None is the user's default one.
        results: The results folder of the same cells.
        output: Where the report's specification is written as JSON, without network or login; None publishes the
            report.

    Raises:
        ResultsError: wandb-workspaces is not installed, `results` holds no finished cell, nobody is logged in although
            the report is to be published, or W&B refuses it.
    """
    require_wandb("wandb_workspaces")
    records = load_records(results)
    if not records.complete:
        raise ResultsError(f"{results} holds no finished cell: {WHAT_TO_RUN}")
    skipped = [f"skipped {problem}" for problem in records.problems]
    if output is None:
        return [f"published {_published(project, entity, records)}", *skipped]
    model = _report(project, entity or "", records)._to_model()  # the package has no public way to the specification
    specification = model.spec.model_dump(by_alias=True, exclude_none=True)
    write_text(json.dumps(specification, indent=1, ensure_ascii=False) + "\n", output)
    return [
        f"wrote {output}: the report's specification; nothing is published",
        "publish the report with: wandb login, then this command without an output file",
        *skipped,
    ]


def _published(project: str, entity: str | None, records: Records) -> str:
    """Publishes the report and returns its address."""
    if not is_logged_in():
        raise ResultsError(
            "publishing a report needs a login, and W&B knows none: run `wandb login`, or name an output file for the "
            "report's specification"
        )
    import wandb

    owner = wandb.Api().default_entity if entity is None else entity
    if owner is None:
        raise ResultsError("W&B names no user or team for this login: give --entity")
    try:
        return str(_report(project, owner, records).save().url)
    except (wandb.Error, ValueError) as error:
        raise ResultsError(f"W&B refuses the report: {' '.join(str(error).split())}") from error


def _report(project: str, entity: str, records: Records) -> v2.Report:
    from wandb_workspaces.reports import v2

    datasets = sorted({cell.names.dataset for cell in records.complete})
    table = [v2.H1("Results"), v2.MarkdownBlock(render(build_table(records), "markdown"))]
    sections = [
        block
        for dataset in datasets
        for block in _section(dataset, [cell for cell in records.complete if cell.names.dataset == dataset])
    ]
    description = f"{len(records.complete)} finished cells on {', '.join(datasets)}"
    return v2.Report(
        project=project, entity=entity, title=TITLE, description=description, width="fluid", blocks=[*table, *sections]
    )


def _section(dataset: str, cells: Sequence[FinishedCell]) -> Iterator[Any]:
    """The blocks of one dataset: scores of different datasets share no axis."""
    from wandb_workspaces import expr
    from wandb_workspaces.reports import v2

    def runs(*grouping: str) -> list[Any]:
        of_dataset = expr.And(expr.Config("dataset") == dataset)
        return [v2.Runset(project="", name=dataset, filters=of_dataset, groupby=list(grouping))]

    students = {cell.names.student for cell in cells}
    means = ("config.method", "config.student") if len(students) > 1 else ("config.method",)
    yield v2.H1(dataset)
    if panels := _frontiers(cells):
        yield v2.H2("Scores against cost, means over seeds")
        yield v2.PanelGrid(runsets=runs(*means), panels=panels)
    yield v2.H2("Curves over all rounds")
    yield v2.PanelGrid(runsets=runs(*means), panels=_curves(cells))
    yield v2.H2("What students wrote")
    shown = v2.WeavePanelSummaryTable(table_name=EXAMPLES_TABLE, layout=v2.Layout(w=WIDE, h=HIGH))
    yield v2.PanelGrid(runsets=runs(), panels=[shown])


def _frontiers(cells: Sequence[FinishedCell]) -> list[Any]:
    """A scatter plot per test metric and cost that some cell was charged for."""
    from wandb_workspaces.reports import v2

    charged = [cell.charged.get("teacher", NOTHING) for cell in cells]
    costs = [name for name in COSTS if any(getattr(entry, name) for entry in charged)]
    return [
        v2.ScatterPlot(
            title=f"{metric} against {COSTS[cost]}",
            x=v2.SummaryMetric(f"charged/teacher/{cost}"),
            y=v2.SummaryMetric(f"test/{metric}"),
        )
        for metric in sorted({cell.tests[0].metric for cell in cells})
        for cost in costs
    ]


def _curves(cells: Sequence[FinishedCell]) -> list[Any]:
    """A line plot per validation metric, then of the loss and of the questions bought."""
    from wandb_workspaces.reports import v2

    validated = sorted({name for cell in cells for each in cell.rounds for name in each.validation})
    plotted = [*(f"validation/{name}" for name in validated), "train/loss", "annotated"]
    return [v2.LinePlot(title=name, x=STEP_AXIS, y=[name]) for name in plotted]
