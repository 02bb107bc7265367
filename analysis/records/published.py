"""Reads `analysis/published/*.yaml`: what papers report, number by number. Nothing there is ours."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from analysis.records.load import ResultsError
from analysis.records.published_schema import (
    NO_TEACHER,
    Dataset,
    Facts,
    Paper,
    PublishedTable,
    Row,
    Student,
    Tag,
    Teacher,
)

FOLDER = Path(__file__).resolve().parents[1] / "published"
NOBODY = Teacher(name=NO_TEACHER)


class PublishedError(ResultsError):
    """A file of published numbers cannot be used; the message is one line and names the file and the place."""


@dataclass(frozen=True)
class PublishedNumber:
    """One number of a paper, with everything that the paper says about it. None: the source does not say."""

    paper: str
    """The name of its file."""
    table: str
    """Table, figure or section."""
    row: str
    """The label of its line."""
    column: str
    """The heading above it; empty in a table with one number per row."""
    value: float
    """In `unit`."""
    deviation: float | None
    """The standard deviation over `runs`, in `unit`."""
    tag: Tag
    by: str | None
    """Who ran it again; None for a confirmed number."""
    metric: str
    """What was measured."""
    unit: str
    """Of `value` and `deviation`."""
    dataset: Dataset | None
    """What the student is tested on."""
    trained_on: Dataset | None
    """What it learnt from."""
    student: Student | None
    """Who was measured."""
    teacher: Teacher | None
    """`NOBODY` where no teacher is asked."""
    train_examples: int | None
    """Training questions."""
    facts: Facts
    """Everything else that table, column and row say together."""


def load_papers(folder: Path = FOLDER) -> dict[str, Paper]:
    """The papers by the names of their files.

    Raises:
        PublishedError: a file is no YAML, has a key twice, or holds something else than a paper.
    """
    return {path.stem: _paper(path) for path in sorted(folder.glob("*.yaml"))}


@cache
def papers() -> Mapping[str, Paper]:
    """The papers of this package, read once."""
    return load_papers()


def numbers_of(name: str, paper: Paper) -> list[PublishedNumber]:
    """All numbers of a paper, in the order of its file.

    Raises:
        PublishedError: a number lacks its tag, metric or unit, or a re-run does not say whose it is.
    """
    found = []
    for title, table in paper.tables.items():
        for label, row in table.rows.items():
            found += list(_numbers_of_row(name, paper, title, table, label, row))
    return found


def _numbers_of_row(
    name: str, paper: Paper, title: str, table: PublishedTable, label: str, row: Row
) -> Iterator[PublishedNumber]:
    deviations = row.deviations or (None,) * len(row.values)
    for (heading, column), value, deviation in zip(table.columns.items(), row.values, deviations, strict=True):
        if value is None:
            continue
        facts = merged(table, column, row)
        try:
            yield _number(name, paper, (title, label, heading), value, deviation, facts)
        except _Lacking as lacking:
            raise PublishedError(f"{name}.yaml: {title}, row {label!r}: a number {lacking}") from None


def merged(*levels: Facts) -> Facts:
    """The facts of several levels together; of one fact the last level that gives it counts."""
    given = {
        name: getattr(level, name) for level in levels for name in level.model_fields_set & Facts.model_fields.keys()
    }
    return Facts(**given)


class _Lacking(Exception):
    """What a number lacks."""


def _number(
    name: str, paper: Paper, place: tuple[str, str, str], value: float, deviation: float | None, facts: Facts
) -> PublishedNumber:
    if facts.tag is None or facts.metric is None or facts.unit is None:
        raise _Lacking("lacks its tag, metric or unit")
    if facts.tag == "re-run" and facts.by is None:
        raise _Lacking("is a re-run and lacks `by`: who ran it again")
    if facts.read_in is None:
        raise _Lacking("lacks `read_in`: where it was read")
    dataset = paper.datasets.get(facts.dataset or "")
    trained_on = paper.datasets.get(facts.trained_on or facts.dataset or "")
    table, row, column = place
    return PublishedNumber(
        paper=name,
        table=table,
        row=row,
        column=column,
        value=value,
        deviation=deviation,
        tag=facts.tag,
        by=facts.by if facts.tag == "re-run" else None,
        metric=facts.metric,
        unit=facts.unit,
        dataset=dataset,
        trained_on=trained_on,
        student=paper.students.get(facts.student or ""),
        teacher=NOBODY if facts.teacher == NO_TEACHER else paper.teachers.get(facts.teacher or ""),
        train_examples=_train_examples(facts, trained_on),
        facts=facts,
    )


def _train_examples(facts: Facts, trained_on: Dataset | None) -> int | None:
    if facts.train_examples is not None or trained_on is None or trained_on.train is None:
        return facts.train_examples
    return round(trained_on.train * (facts.train_share or 1))


def _paper(path: Path) -> Paper:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        return Paper.model_validate(content)
    except yaml.YAMLError as error:
        raise PublishedError(f"{path.name} is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise PublishedError(f"{path.name}: {_first_complaint(error)}") from error


def _first_complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = " / ".join(str(key) for key in first["loc"])
    shown = "" if first["type"] in ("refused", "missing") else f"{first['input']!r}: "
    return f"{place}: {shown}{first['msg']}" if place else f"{shown}{first['msg']}"


class _Loader(yaml.CSafeLoader):
    """Refuses a key that stands twice; the plain loader keeps the last one and loses the other."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                line = node.value[number][0].start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {key!r} stands twice")
        return super().construct_mapping(node, deep)
