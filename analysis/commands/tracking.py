"""`wandb-sync` and `wandb-report`: finished cells at Weights & Biases."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analysis.output.terminal import home_path, write_text
from analysis.output.wandb_report import wandb_report as report_lines
from analysis.output.wandb_runs import wandb_sync as sync_lines

FolderOption = Annotated[
    Path, typer.Option("--results", metavar="DIR", help="Where the cells' folders are.", parser=home_path)
]
ProjectOption = Annotated[str, typer.Option(metavar="NAME", help="The project at W&B.")]
PROJECT = "distillation-benchmark"


class Mode(StrEnum):
    """Where runs go."""

    AUTO = "auto"
    ONLINE = "online"
    OFFLINE = "offline"


def wandb_sync(
    results: FolderOption,
    project: ProjectOption = PROJECT,
    mode: Annotated[Mode, typer.Option(help="auto: online where somebody is logged in.")] = Mode.AUTO,
) -> None:
    """W&B runs of cells that ran without logger=wandb, each once.

    Example: python -m analysis wandb-sync --results results/quickstart
    """
    write_text("\n".join(sync_lines(results, project, mode)) + "\n", None)


def wandb_report(
    results: FolderOption,
    project: ProjectOption = PROJECT,
    entity: Annotated[str | None, typer.Option(metavar="NAME", help="The project's owner, if not you.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the report's specification here, without login.", parser=home_path),
    ] = None,
) -> None:
    """A W&B report with table, frontier, curves and examples, published or as a file.

    Example: python -m analysis wandb-report --results results/quickstart --output report.json
    """
    write_text("\n".join(report_lines(project, entity, results, output)) + "\n", None)
