"""The most that a question can cost, computed from its rendered prompts; no model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from benchmark.buying.meter import Supplier, worst_case
from benchmark.cell.cell import Cell
from benchmark.cell.context import PartContext, context_of
from benchmark.tasks.dataset import Splits
from benchmark.teachers.prompts import prompt_library_for
from benchmark.types import PlannedRequest, Question, Round, Usage

if TYPE_CHECKING:
    from benchmark.contract import TextModel


class WorstCases:
    """The worst-case cost of each question of a cell in one round, by default the first."""

    def __init__(self, cell: Cell, splits: Splits, round_: Round | None = None) -> None:
        """Raises ConfigError if a teacher cannot answer about the dataset."""
        self.cell = cell
        self.context = annotation_context(cell, splits, round_)
        self.suppliers = {name: Supplier(t.open(cell.dataset), t.price) for name, t in cell.asked_teachers.items()}

    def of(self, question: Question) -> Usage:
        """The most calls, tokens and US dollars of the question, over the requests that the annotator plans."""
        planned = self.planned(question)
        most = worst_case(planned, self.suppliers, self.cell.longest_local_reply)
        return most + Usage(questions=1)

    def planned(self, question: Question) -> Sequence[PlannedRequest]:
        """The requests that the annotator may send for the question."""
        return self.cell.method.annotation.most_requests(question, self.context)


def annotation_context(cell: Cell, splits: Splits, round_: Round | None = None) -> PartContext:
    """The annotator's context of a round, by default the first. It fails if student or assistant are used."""
    round_ = round_ or cell.method.schedule.next_round(()) or Round(0, 1.0)
    no_student = cast("TextModel", None)
    return context_of(cell, splits, prompt_library_for(cell.method.parts), round_, no_student, None).for_axis(
        "annotation"
    )
