"""`study create` and `study analyse`: people rate explanations."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.options import ResultsOption, finish, require, say, wrote
from analysis.output.terminal import home_path, write_text
from analysis.records.explained import HOW_TO_EXPLAIN
from analysis.records.load import ResultsError, load_records
from analysis.study.assignment import AssignmentError, Design
from analysis.study.constructs import ANCHORS
from analysis.study.items import material
from analysis.study.plan_file import PLAN_FILE, new_study, read_study, write_study
from analysis.study.questionnaire import INTRODUCTION, write_questionnaires
from analysis.study.submissions import read_ratings

NEEDED = {"statsmodels": "statsmodels", "krippendorff": "krippendorff", "scikit_posthocs": "scikit-posthocs"}
DEFAULTS = Design(participants=0)

study = typer.Typer(help="People rate explanations: make questionnaires, analyse ratings.", no_args_is_help=True)


@study.command()
def create(
    results: ResultsOption,
    output: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the study.", parser=home_path)],
    participants: Annotated[int, typer.Option(metavar="N", min=1, help="People who are asked.")],
    student: Annotated[
        str | None, typer.Option(metavar="NAME", help="The student whose explanations are shown.")
    ] = None,
    slots: Annotated[int, typer.Option(metavar="N", min=1, help="Explanations that a person rates.")] = DEFAULTS.slots,
    most_per_method: Annotated[
        int, typer.Option(metavar="N", min=1, help="Explanations of one method, per person.")
    ] = DEFAULTS.most_per_method,
    ratings_per_explanation: Annotated[
        int, typer.Option(metavar="N", min=1, help="People per explanation, about.")
    ] = DEFAULTS.ratings_per_explanation,
    attention_checks: Annotated[
        int, typer.Option(metavar="N", min=0, help="Pages per person that show who reads.")
    ] = DEFAULTS.attention_checks,
    right_only: Annotated[
        bool, typer.Option("--right-only", help="Only questions that all students answered rightly.")
    ] = False,
    introduction: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text of the first page, in place of ours.", parser=home_path)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides what is drawn.")] = 0,
) -> None:
    """Blinded, balanced questionnaires for students that explained: a web page per participant, and tables.

    Example: python -m analysis study create --results results/honey_small --output study --participants 40
    """
    if output.exists():
        raise ResultsError(f"{output} is there already, and may hold a study that runs: name a new folder")
    text = INTRODUCTION if introduction is None else introduction.read_text(encoding="utf-8")
    design = Design(participants, slots, most_per_method, ratings_per_explanation, attention_checks)
    records = load_records(*results)
    found = material(records, student, seed, right_only)
    try:
        made = new_study(found, design, seed)
    except AssignmentError as error:
        raise ResultsError(str(error)) from error
    unfinished = output.with_name(f".{output.name}.writing")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_questionnaires(made, unfinished, text)
    write_study(made, unfinished / PLAN_FILE)
    unfinished.rename(output)
    say(f"left out: {line}; {HOW_TO_EXPLAIN}" for line in found.left_out)
    questions = len({item.example_id for item in made.items.values()})
    sys.stdout.write(
        f"{len(made.pages)} questionnaires, {len(made.methods)} methods, {questions} questions, "
        f"{len(made.items)} explanations\n"
        f"{output / 'questionnaires'}: one page per participant, to send\n"
        f"{output / 'pages.csv'}: the same as a table; {output / 'ratings.csv'}: to be filled in\n"
        f"{output / PLAN_FILE}: which explanation is whose; keep it from participants\n"
    )
    finish(records.problems)


@study.command(
    help=(
        "Reliability, tests, models, tables and a plot from the filled questionnaires.\n\n"
        f"The scale goes from {ANCHORS[0]!r} to {ANCHORS[-1]!r}.\n\n"
        "Example: python -m analysis study analyse --study study --ratings replies --output report"
    )
)
def analyse(
    plan: Annotated[
        Path, typer.Option("--study", metavar="DIR", help="The folder of `study create`.", parser=home_path)
    ],
    ratings: Annotated[Path, typer.Option(metavar="DIR", help="A folder of *.json and *.csv.", parser=home_path)],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write report, tables and plot there.", parser=home_path),
    ] = None,
    keep_inattentive: Annotated[
        bool, typer.Option("--keep-inattentive", help="Also use people who missed an attention check.")
    ] = False,
) -> None:
    """Reliability, tests, models, tables and a plot from the filled questionnaires."""
    require(NEEDED, "an analysis of ratings", "statistics")
    from analysis.study.rating_plot import plot_ratings
    from analysis.study.report import findings, report, write_findings

    asked = read_study(plan)
    read = read_ratings(asked, ratings, keep_inattentive)
    for row in read.aside:
        place = f"{row.file}, row {row.row}" if row.row else row.file
        say([f"kept aside: {place}: {row.reason}"])
    found = findings(asked, read.used)
    text = report(asked, read, found)
    write_text(text, None)
    if output is not None:
        wrote(write_findings(text, read, found, output))
        wrote(plot_ratings(found.means, found.methods, output / "ratings"))
