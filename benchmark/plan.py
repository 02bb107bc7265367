"""What must hold before any work: requirements matched, files present, budget possible, results writable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.cell import Cell
from benchmark.errors import ConfigError
from benchmark.runs.catalog import refuse_unwritable
from benchmark.tasks.dataset import Splits
from benchmark.teachers.prompts import beside
from benchmark.types import Example


def check(cell: Cell) -> None:
    """Raises ConfigError with every reason why the cell cannot run, before any work."""
    cell.student.check()
    cell.logger.check()
    splits = cell.dataset.load()
    reasons = [*_unmet(cell, splits), *_impossible_sizes(cell, splits)] if cell.method.trains() else []
    if reasons:
        raise ConfigError(f"{cell.method.name} on {cell.dataset.name}: " + "; ".join(reasons))
    refuse_unwritable(Path(cell.results_dir))


def covered_pool(cell: Cell, splits: Splits) -> tuple[Example, ...]:
    """The pool that this cell draws from: all of it, or what the teacher covers.

    Raises ConfigError where a needed teacher misses questions and `pool=covered` was not asked for.
    """
    if not cell.asks_teacher:
        return splits.pool
    teacher = cell.teacher.open(cell.dataset)
    covered = tuple(example for example in splits.pool if teacher.covers(example.id))
    if cell.pool == "covered":
        return covered
    missing = len(splits.pool) - len(covered)
    if missing:
        raise ConfigError(
            f"teacher={cell.teacher.name} does not cover {missing} of the {len(splits.pool)} ids in the pool of "
            f"{cell.dataset.name}; pool=covered uses the {len(covered)} that it covers"
        )
    return splits.pool


def _unmet(cell: Cell, splits: Splits) -> Iterator[str]:
    """Reasons, one per requirement that nothing in this cell meets."""
    needs = cell.method.requires()
    if needs.choices and not all(example.choices for example in splits.pool):
        yield "it works for multiple-choice questions only"
    if needs.gold_rationale and not any(example.rationale for example in splits.pool):
        yield "it needs human rationales, and the dataset has none"
    unplayable = sorted(needs.teacher_roles - set(cell.teacher.roles or needs.teacher_roles))
    if unplayable:
        yield f"it asks the teacher in the role {', '.join(unplayable)}; teacher={cell.teacher.name} cannot play it"
    for role in sorted(needs.teacher_roles):
        beside([cell.method.annotation]).fingerprint(role)
    unasked = sorted(needs.student_roles - cell.method.format.roles)
    if unasked:
        known = ", ".join(sorted(cell.method.format.roles))
        yield f"it asks the student in the role {', '.join(unasked)}; this format knows {known}"
    unwritten = sorted(needs.annotation_kinds - cell.method.annotation.kinds)
    if unwritten:
        written = ", ".join(sorted(cell.method.annotation.kinds))
        yield f"it needs annotations of kind {', '.join(unwritten)}; this annotation writes {written}"


def _impossible_sizes(cell: Cell, splits: Splits) -> Iterator[str]:
    pool = covered_pool(cell, splits)
    wanted = cell.budget.questions
    if wanted is not None and wanted > len(pool):
        yield f"budget.questions={wanted}, but the pool has {len(pool)} questions"
    if cell.budget.calls is not None and pool:
        cheapest = min(cell.method.annotation.most_calls(example.without_gold()) for example in pool)
        if cheapest > cell.budget.calls:
            yield f"budget.calls={cell.budget.calls}, but one question may cost {cheapest} calls"
    if cell.evaluation.validation_size is not None and cell.evaluation.validation_size > len(splits.validation):
        yield (
            f"evaluation.validation_size={cell.evaluation.validation_size}, but the validation split has "
            f"{len(splits.validation)} questions"
        )
