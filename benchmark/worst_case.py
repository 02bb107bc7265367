"""What questions can cost at most, from their prompts as they will be rendered; nobody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmark.cell import Cell
from benchmark.context import CellContext
from benchmark.tasks.dataset import Splits
from benchmark.teachers.meter import Supplier, worst_case
from benchmark.teachers.prompts import beside
from benchmark.types import Question, Round, Usage

if TYPE_CHECKING:
    from benchmark.student.student import Student


class WorstCases:
    """The worst cases of one cell's questions."""

    def __init__(self, cell: Cell, splits: Splits) -> None:
        """Raises ConfigError for a teacher that has nothing to say about the dataset."""
        self.cell = cell
        self.context = annotation_context(cell, splits)
        teachers = cell.teachers if cell.asks_teacher else {}
        self.suppliers = {name: Supplier(t.open(cell.dataset), t.price) for name, t in teachers.items()}

    def of(self, question: Question) -> Usage:
        """The sum over the requests that the annotation plans for the question."""
        planned = self.cell.method.annotation.planned(question, self.context)
        most = worst_case(planned, self.suppliers, self.cell.longest_local_reply)
        return most + Usage(questions=1)


def annotation_context(cell: Cell, splits: Splits) -> CellContext:
    """The first round as the annotation would see it, but without a student: to ask one raises."""
    return CellContext(
        dataset=cell.dataset,
        format=cell.method.format,
        student=cast("Student", None),
        local_assistant=None,
        teachers=tuple(cell.teachers),
        loss_settings=cell.method.loss.settings,
        prompts=beside(cell.method.parts),
        seed=cell.seed,
        data_seed=cell.data_seed,
        round=cell.method.schedule.next_round(()) or Round(0, 1.0),
        history=(),
        gold_rows={row.id: row for row in splits.pool},
        gold_axes=frozenset({"annotation"} if cell.method.annotation.requires().gold else ()),
    ).for_axis("annotation")
