"""What a cell draws from: the pool of questions, the teacher behind a distribution, a student on a hub."""

from __future__ import annotations

from typing import cast

from benchmark.cell.cell import Cell
from benchmark.errors import ConfigError
from benchmark.student.source import PretrainedStudent
from benchmark.tasks.dataset import Splits
from benchmark.teachers.teacher import DistributionTeacher
from benchmark.types import Example


def covered_pool(cell: Cell, splits: Splits) -> tuple[Example, ...]:
    """The pool that this cell draws from: all of it, or what the teacher covers.

    Raises ConfigError where a needed teacher misses questions and `pool=covered` was not asked for.
    """
    if not cell.asks_teacher:
        return splits.pool
    teachers = [teacher.open(cell.dataset) for teacher in cell.teachers.values()]
    covered = tuple(row for row in splits.pool if all(teacher.covers(row.id) for teacher in teachers))
    if cell.pool == "covered":
        return covered
    missing = len(splits.pool) - len(covered)
    if missing:
        raise ConfigError(
            f"teacher={cell.teacher.name} does not cover {missing} of the {len(splits.pool)} ids in the pool of "
            f"{cell.dataset.name}; pool=covered uses the {len(covered)} that it covers"
        )
    return splits.pool


def distribution_teacher(cell: Cell) -> DistributionTeacher:
    """The first teacher. Raises ConfigError where it answers in text only."""
    name, first = next(iter(cell.teachers.items()))
    if not first.capabilities.shows_distributions:
        raise ConfigError(
            f"{cell.method.name} compares the student with the teacher's distribution, and teacher={name} answers in "
            "text only; choose teacher=transformers teacher.path=FOLDER"
        )
    return cast(DistributionTeacher, first)


def student_download(cell: Cell) -> str | None:
    """What a run of the cell would first fetch from the hub for its student; None where nothing."""
    source = cell.student
    return source.download() if isinstance(source, PretrainedStudent) else None
