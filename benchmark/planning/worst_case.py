"""What questions can cost at most, from their prompts as they will be rendered; nobody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmark.buying.meter import Supplier, worst_case
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext, context_of
from benchmark.tasks.dataset import Splits
from benchmark.teachers.prompts import prompt_library_for
from benchmark.types import Question, Round, Usage

if TYPE_CHECKING:
    from benchmark.contract import TextModel


class WorstCases:
    """The worst cases of one cell's questions."""

    def __init__(self, cell: Cell, splits: Splits) -> None:
        """Raises ConfigError for a teacher that has nothing to say about the dataset."""
        self.cell = cell
        self.context = annotation_context(cell, splits)
        self.suppliers = {name: Supplier(t.open(cell.dataset), t.price) for name, t in cell.asked_teachers.items()}

    def of(self, question: Question) -> Usage:
        """The sum over the requests that the annotation plans for the question."""
        planned = self.cell.method.annotation.most_requests(question, self.context)
        most = worst_case(planned, self.suppliers, self.cell.longest_local_reply)
        return most + Usage(questions=1)


def annotation_context(cell: Cell, splits: Splits) -> CellContext:
    """The first round as the annotation would see it, but without a student: to ask one raises."""
    round_ = cell.method.schedule.next_round(()) or Round(0, 1.0)
    nobody = cast("TextModel", None)
    return context_of(cell, splits, prompt_library_for(cell.method.parts), round_, nobody, None).for_axis("annotation")
