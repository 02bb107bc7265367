"""`python -m analysis study create` and `study analyse`."""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Sequence

from analysis.output.terminal import home_path, write_text
from analysis.records.explained import HOW_TO_EXPLAIN
from analysis.records.load import Problem, ResultsError, load_records
from analysis.study.assignment import AssignmentError, Design
from analysis.study.constructs import ANCHORS
from analysis.study.items import material
from analysis.study.plan_file import PLAN_FILE, new_study, read_study, write_study
from analysis.study.questionnaire import INTRODUCTION, write_questionnaires
from analysis.study.submissions import read_ratings

NEEDED = ("statsmodels", "krippendorff", "scikit_posthocs")
DEFAULTS = Design(participants=0)


def add_study(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command `study`, with its parts `create` and `analyse`."""
    study = commands.add_parser("study", help="people rate explanations: make the questionnaires, analyse the ratings")
    parts = study.add_subparsers(dest="part", required=True, metavar="{create,analyse}")
    create = parts.add_parser(
        "create",
        help="blinded, balanced questionnaires for students that explained",
        description="Writes one web page per participant, which needs no server, and tables for survey platforms.",
    )
    create.add_argument("--results", type=home_path, required=True, metavar="DIR", help="where the cells' folders are")
    create.add_argument("--output", type=home_path, required=True, metavar="DIR", help="a new folder for the study")
    create.add_argument("--participants", type=_positive, required=True, metavar="N", help="people who are asked")
    create.add_argument("--student", metavar="NAME", help="the student whose explanations are shown")
    _number(create, "--slots", DEFAULTS.slots, "explanations that a person rates")
    _number(create, "--most-per-method", DEFAULTS.most_per_method, "of one method, per person")
    _number(create, "--ratings-per-explanation", DEFAULTS.ratings_per_explanation, "people per explanation, about")
    _number(create, "--attention-checks", DEFAULTS.attention_checks, "pages per person that show who reads", 0)
    create.add_argument("--right-only", action="store_true", help="only questions that all students answered rightly")
    create.add_argument(
        "--introduction", type=home_path, metavar="FILE", help="text of the first page, in place of ours"
    )
    create.add_argument("--seed", type=int, default=0, help="decides what is drawn (default: 0)")
    analyse = parts.add_parser(
        "analyse",
        help="reliability, tests, models, tables and a plot from the filled questionnaires",
        description=f"Reads the saved files of participants. The scale goes from {ANCHORS[0]!r} to {ANCHORS[-1]!r}.",
    )
    analyse.add_argument("--study", type=home_path, required=True, metavar="DIR", help="the folder of `study create`")
    analyse.add_argument("--ratings", type=home_path, required=True, metavar="DIR", help="a folder of *.json and *.csv")
    analyse.add_argument("--output", type=home_path, metavar="DIR", help="also write report, tables and plot there")
    analyse.add_argument(
        "--keep-inattentive", action="store_true", help="also use people who missed an attention check"
    )


def run_study(options: argparse.Namespace) -> Sequence[Problem]:
    """Runs `study create` or `study analyse`; returns what could not be read. Raises ResultsError."""
    return _create(options) if options.part == "create" else _analyse(options)


def _create(options: argparse.Namespace) -> Sequence[Problem]:
    if options.output.exists():
        raise ResultsError(f"{options.output} is there already, and may hold a study that runs: name a new folder")
    introduction = INTRODUCTION
    if options.introduction is not None:
        introduction = options.introduction.read_text(encoding="utf-8")
    design = Design(
        options.participants,
        options.slots,
        options.most_per_method,
        options.ratings_per_explanation,
        options.attention_checks,
    )
    records = load_records(options.results)
    found = material(records, options.results, options.student, options.seed, options.right_only)
    try:
        study = new_study(found, design, options.seed)
    except AssignmentError as error:
        raise ResultsError(str(error)) from error
    unfinished = options.output.with_name(f".{options.output.name}.writing")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_questionnaires(study, unfinished, introduction)
    write_study(study, unfinished / PLAN_FILE)
    unfinished.rename(options.output)
    for line in found.left_out:
        sys.stderr.write(f"left out: {line}; {HOW_TO_EXPLAIN}\n")
    questions = len({item.example_id for item in study.items.values()})
    sys.stdout.write(
        f"{len(study.pages)} questionnaires, {len(study.methods)} methods, {questions} questions, "
        f"{len(study.items)} explanations\n"
        f"{options.output / 'questionnaires'}: one page per participant, to send\n"
        f"{options.output / 'pages.csv'}: the same as a table; {options.output / 'ratings.csv'}: to be filled in\n"
        f"{options.output / PLAN_FILE}: which explanation is whose; keep it from participants\n"
    )
    return records.problems


def _analyse(options: argparse.Namespace) -> Sequence[Problem]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ResultsError(
            f"the statistics of a study need {', '.join(missing)}: pip install 'distillation-benchmark[statistics]'"
        )
    from analysis.study.rating_plot import plot_ratings
    from analysis.study.report import findings, report, write_findings

    study = read_study(options.study)
    ratings = read_ratings(study, options.ratings, options.keep_inattentive)
    for row in ratings.aside:
        place = f"{row.file}, row {row.row}" if row.row else row.file
        sys.stderr.write(f"kept aside: {place}: {row.reason}\n")
    found = findings(study, ratings.used)
    text = report(study, ratings, found)
    write_text(text, None)
    if options.output is not None:
        written = write_findings(text, ratings, found, options.output)
        written += plot_ratings(found.means, found.methods, options.output / "ratings")
        for path in written:
            sys.stderr.write(f"wrote {path}\n")
    return ()


def _number(parser: argparse.ArgumentParser, name: str, default: int, meaning: str, least: int = 1) -> None:
    kind = _positive if least else _count
    parser.add_argument(name, type=kind, default=default, metavar="N", help=f"{meaning} (default: {default})")


def _positive(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)
