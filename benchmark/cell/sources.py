"""Where a cell's inputs come from: its pool of questions, the teacher for distributions, the student's download."""

from __future__ import annotations

from typing import cast

from benchmark.cell.cell import Cell
from benchmark.errors import ConfigError
from benchmark.student.source import PretrainedStudent
from benchmark.tasks.dataset import Splits
from benchmark.teachers.teacher import DistributionTeacher
from benchmark.types import Example


def covered_pool(cell: Cell, splits: Splits) -> tuple[Example, ...]:
    """The questions that this cell may buy: the whole pool, or with `pool=covered` those that all teachers cover.

    Raises ConfigError if the cell asks a teacher that does not cover the whole pool, without `pool=covered`.
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


def source_of_distributions(cell: Cell) -> PretrainedStudent:
    """The weights that give the teacher's distributions: `distribution_teacher`, or else the first teacher's.

    Raises ConfigError if there is neither: the first teacher answers in text only.
    """
    own = cell.own_distribution_teacher
    return distribution_teacher(cell).source if own is None else own


def distribution_teacher(cell: Cell) -> DistributionTeacher:
    """The cell's first teacher, which gives the distributions. Raises ConfigError if it answers in text only."""
    name, first = next(iter(cell.teachers.items()))
    if not first.capabilities.shows_distributions:
        raise ConfigError(
            f"{cell.method.name} compares the student with the teacher's distribution, but teacher={name} answers in "
            "text only; choose teacher=transformers teacher.path=FOLDER, or let it write the texts and give "
            "distribution_teacher=pretrained distribution_teacher.path=FOLDER"
        )
    return cast(DistributionTeacher, first)


def student_download(cell: Cell) -> str | None:
    """A line that says what a run would download for the student; None if nothing."""
    source = cell.student
    return source.download() if isinstance(source, PretrainedStudent) else None
