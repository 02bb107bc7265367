"""Our records beside the numbers of papers, with a verdict and the commands that run ours at the paper's scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.output.columns import NO_VALUE
from analysis.output.render import markdown_table
from analysis.records.load import Records, ResultsError, load_records
from analysis.records.nearest import nearest
from analysis.records.published import PublishedNumber, numbers_of, papers
from analysis.records.published_schema import Paper
from analysis.records.record_ids import short_ids
from analysis.statistics.reproduction import (
    MIN_SEEDS,
    SAME_COUNT,
    Match,
    in_words,
    is_comparable,
    matches_of,
)

COLUMNS = ("method", "dataset", "published", "tag", "ours", "verdict", "records")
NOTES = (
    "confirmed = measured by the authors of the paper; re-run = by others, who are named. Deviations in brackets are "
    "standard deviations.",
    "ours = mean of the seeds ± 95 % t-interval, in the unit of the published number.",
    f"same scale = student, teacher, training and test questions, steps and batch are the paper's (counts within "
    f"{SAME_COUNT:.0%}), with {MIN_SEEDS} seeds or more. Then: reproduced = the published value lies in our interval, "
    "or our mean where further runs of the paper would lie; differs = neither.",
    "other scale = not the paper's: the line of its mark says what ours is, and the paper's in brackets. Such numbers "
    "are not compared.",
)


@dataclass(frozen=True, kw_only=True)
class ReproductionRow:
    """A published number beside one group of our cells; its fields are the columns of the csv. None: not known."""

    paper: str
    """The name of its file in `analysis/published`."""
    table: str
    """Table, figure or section."""
    row: str
    """The label there."""
    column: str
    """The heading there."""
    tag: str
    """`confirmed` or `re-run`."""
    by: str | None
    """Who ran it again."""
    read_in: str | None
    """Where the number was read."""
    second_hand: bool
    """Whether it was read in a quote or a listing."""
    tolerance: float | None
    """By how much a number read off a figure may be wrong."""
    metric: str
    """What was measured."""
    unit: str
    """Of all values of the row."""
    dataset: str
    """The paper's test set."""
    student: str | None
    """The paper's student."""
    teacher: str | None
    """The paper's teacher; `none` where nobody is asked."""
    published: float
    """The published value."""
    published_deviation: float | None
    """Its standard deviation over the paper's runs."""
    published_runs: int | None
    """Their number."""
    method: str
    """The paper's method as ours is called."""
    our_dataset: str | None = None
    """The test set of our cells."""
    our_student: str | None = None
    """The student of our cells."""
    mean: float | None = None
    """The mean over our seeds."""
    low: float | None = None
    """The lower end of its 95 % t-interval; None for one seed."""
    high: float | None = None
    """The upper end."""
    num_seeds: int | None = None
    """How many seeds the mean is over."""
    seeds: str | None = None
    """The seeds, separated by spaces."""
    verdict: str
    """`reproduced`, `differs`, `other scale` or `not run`."""
    differences: str = ""
    """What is not the paper's scale, separated by semicolons."""
    not_compared: str = ""
    """What the source does not say, separated by semicolons."""
    record_ids: str = ""
    """The ids of our records, separated by spaces."""


def reproduce(results: Sequence[Path], which: str) -> tuple[str, pd.DataFrame]:
    """The text for a terminal, and the rows behind it. `which` is a paper, or an experiment of `conf/experiment`.

    Without results every number is `not run`.

    Raises:
        ResultsError: no paper or experiment of a paper has this name, or one of `results` is not a folder.
    """
    chosen = papers_of(which)
    records = load_records(*results)
    found = {name: _matches(name, paper, records, which) for name, paper in chosen.items()}
    parts = [_paper_text(name, chosen[name], found[name], records) for name in chosen]
    notes = [*NOTES, *_record_notes(records, [each for row in found.values() for each in row])]
    text = "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"
    return text, _frame([each for matches in found.values() for each in matches])


def reproduction(records: Records, which: str) -> pd.DataFrame:
    """One row per published number and group of our cells beside it, with the fields of `ReproductionRow`.

    Raises:
        ResultsError: no paper or experiment of a paper is called `which`.
    """
    chosen = papers_of(which)
    return _frame([each for name, paper in chosen.items() for each in _matches(name, paper, records, which)])


def papers_of(which: str) -> Mapping[str, Paper]:
    """The paper of this name, or all papers that an experiment belongs to, by name.

    Raises:
        ResultsError: no paper or experiment of a paper has this name; the nearest is named.
    """
    known = papers()
    of_experiment = {name: paper for name, paper in known.items() if which in paper.reproduce.experiments}
    if which in known:
        return {which: known[which]}
    if of_experiment:
        return of_experiment
    experiments = {experiment for paper in known.values() for experiment in paper.reproduce.experiments}
    hint = nearest(which, {*known, *experiments})
    raise ResultsError(f"there is no paper, and no experiment of a paper, called {which!r}{hint}")


def _matches(name: str, paper: Paper, records: Records, which: str) -> list[Match]:
    numbers = [number for number in numbers_of(name, paper) if is_comparable(number)]
    return matches_of(paper, numbers, records, paper.reproduce.experiments.get(which, {}))


# --- rows ------------------------------------------------------------------------------------------------------------


def _frame(matches: Sequence[Match]) -> pd.DataFrame:
    rows = [asdict(_row(each)) for each in matches]
    frame = pd.DataFrame(rows, columns=[column.name for column in fields(ReproductionRow)])
    return frame.astype({"published_runs": "Int64", "num_seeds": "Int64"})


def _row(match: Match) -> ReproductionRow:
    number, facts = match.number, match.number.facts
    return ReproductionRow(
        paper=number.paper,
        table=number.table,
        row=number.row,
        column=number.column,
        tag=number.tag,
        by=number.by,
        read_in=facts.read_in,
        second_hand=facts.second_hand,
        tolerance=facts.tolerance,
        metric=number.metric,
        unit=number.unit,
        dataset=number.dataset.name if number.dataset else "",
        student=number.student.name if number.student else None,
        teacher=number.teacher.name if number.teacher else None,
        published=number.value,
        published_deviation=number.deviation,
        published_runs=facts.runs,
        method=facts.method or "",
        verdict=match.verdict,
        differences="; ".join(match.differences),
        not_compared="; ".join(match.not_compared),
        **_our_columns(match),
    )


def _our_columns(match: Match) -> dict[str, Any]:
    """The columns that our cells fill; none where there are no cells."""
    group, interval = match.group, match.interval
    if group is None or interval is None:
        return {}
    cells = [score.cell.names for score in group.scores]
    return {
        "our_dataset": group.scores[0].test.dataset,
        "our_student": cells[0].student,
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "num_seeds": interval.num_values,
        "seeds": " ".join(str(cell.seed) for cell in cells),
        "record_ids": " ".join(cell.cell_id for cell in cells),
    }


# --- text ------------------------------------------------------------------------------------------------------------


def _paper_text(name: str, paper: Paper, matches: Sequence[Match], records: Records) -> str:
    parts = [f"## {paper.title} ({name})", f"{_source(paper)}. {_left_over(name, paper)}"]
    short = short_ids(records.cell_ids)
    tables = groupby(matches, key=lambda each: each.number.table)
    parts += [_table_text(table, list(rows), short) for table, rows in tables]
    return "\n\n".join([*parts, *_how_to_run(paper)])


def _source(paper: Paper) -> str:
    """Authors, venue, number on arXiv and year, as far as they are known."""
    venue = "" if paper.venue == "arXiv" and paper.arxiv else paper.venue
    year = "" if paper.year is None or str(paper.year) in venue else str(paper.year)
    return ", ".join(filter(None, [paper.authors, venue, f"arXiv {paper.arxiv}" if paper.arxiv else "", year]))


def _left_over(name: str, paper: Paper) -> str:
    numbers = numbers_of(name, paper)
    if not numbers:
        return "No number of it is known to us."
    num_comparable = sum(map(is_comparable, numbers))
    return (
        f"{num_comparable:,} of its {len(numbers):,} numbers have a method, a dataset and a metric here; all are in "
        f"`analysis/published/{name}.yaml`."
    )


def _table_text(table: str, members: Sequence[Match], short: Mapping[str, str]) -> str:
    """One published table with what a verdict needs to say in numbered lines below it."""
    details = dict.fromkeys(filter(None, map(_detail, members)))
    marks = {detail: f" ({number})" for number, detail in enumerate(details, start=1)} | {"": ""}
    shown = markdown_table(COLUMNS, [_shown(each, short, marks[_detail(each)]) for each in members])
    lines = "".join(f"\n-{marks[detail]} {detail}" for detail in details)
    return f"### {_table_title(table, members)}\n\n{shown}" + (f"\n{lines}" if lines else "")


def _detail(match: Match) -> str:
    """What is another scale, or what could not be compared; empty where there is nothing to say."""
    if match.verdict in ("reproduced", "differs") and match.not_compared:
        return f"the source does not give {', '.join(match.not_compared)}"
    return "; ".join(match.differences)


def _table_title(table: str, members: Sequence[Match]) -> str:
    notes = dict.fromkeys(each.number.facts.note for each in members)
    only = next(iter(notes)) if len(notes) == 1 else None
    read_in = members[0].number.facts.read_in
    return f"{table} (read in {read_in}{f'; {only}' if only else ''})"


def _shown(match: Match, short: Mapping[str, str], mark: str) -> list[str]:
    number = match.number
    cells = [] if match.group is None else [score.cell.names.cell_id for score in match.group.scores]
    return [
        number.row,
        number.dataset.name if number.dataset else NO_VALUE,
        _shown_number(number),
        _shown_tag(number),
        _shown_ours(match),
        match.verdict + mark,
        " ".join(short[cell_id] for cell_id in cells) or NO_VALUE,
    ]


def _shown_number(number: PublishedNumber) -> str:
    runs = in_words(number.facts.runs, "run") if number.facts.runs else ""
    deviation = "" if number.deviation is None else f"{number.deviation:g}"
    details = ", ".join(filter(None, [deviation, runs]))
    return f"{number.value:g}{f' ({details})' if details else ''}"


def _shown_tag(number: PublishedNumber) -> str:
    second = ", second hand" if number.facts.second_hand else ""
    figure = "" if number.facts.tolerance is None else f", figure ± {number.facts.tolerance:g}"
    return f"{number.tag}{f' by {number.by}' if number.by else ''}{second}{figure}"


def _shown_ours(match: Match) -> str:
    interval = match.interval
    if interval is None:
        return NO_VALUE
    half_width = "" if interval.half_width is None else f" ± {interval.half_width:.2f}"
    return f"{interval.mean:.2f}{half_width} ({in_words(interval.num_values, 'seed')})"


def _how_to_run(paper: Paper) -> Iterator[str]:
    how = paper.reproduce
    if how.impossible is not None:
        yield f"No command runs ours at the paper's scale: {how.impossible}."
        return
    commands = "\n".join(command.strip() for command in how.commands)
    yield f"Ours at the paper's scale:\n\n```bash\n{commands}\n```"
    if how.needs is not None:
        yield f"It needs {how.needs}."
    if how.leaves_out is not None:
        yield f"It leaves out, or does otherwise: {how.leaves_out.rstrip('.')}."


def _record_notes(records: Records, matches: Sequence[Match]) -> Iterator[str]:
    """What of the results stands nowhere above, and what could not be read."""
    groups = [each.group for each in matches if each.group is not None]
    shown = {score.cell.names.cell_id for group in groups for score in group.scores}
    rest = [cell.names for cell in records.complete if cell.names.cell_id not in shown]
    if rest:
        datasets = ", ".join(sorted({cell.dataset for cell in rest}))
        yield f"Finished cells beside no published number shown here: {len(rest):,} (trained on {datasets})."
    if records.failed:
        yield f"Failed cells: {len(records.failed):,} (python -m analysis status names them)."
    yield from (f"skipped {problem}" for problem in records.problems)
