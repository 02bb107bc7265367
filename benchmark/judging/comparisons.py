"""What a judge is asked: two explanations, one construct, one order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from benchmark.judging.cells import Explained, Pair, SharedQuestion
from benchmark.judging.verdicts import Cell
from benchmark.records.schema import CONSTRUCTS
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.prompts import PromptLibrary
from benchmark.types import Json, Request

ROLE = "compare_explanations"
PROMPTS = PromptLibrary((Path(__file__).parent / "prompts",))
FURTHER_TASK = "\n\nTwo students answered"
"""The prompt's own beginning: a base model that goes on behind its verdict invents another task like it."""
NOTHING = "(none)"
"""Stands for an answer or an explanation that is missing."""


@dataclass(frozen=True)
class Comparison:
    """One question to the judge."""

    shared: SharedQuestion
    """The question, and what both students said."""
    construct: str
    """One of `CONSTRUCTS`."""
    shown_as_a: Cell
    """The cell whose explanation comes first."""

    def request(self, dataset: Dataset, again: bool = False) -> Request:
        """The rendered request; with `again` it insists on a verdict, after a reply that had none.

        A reply cut at the teacher's cap counts as complete, since a verdict may stand in it.
        """
        first, second = _shown(self.shared.first), _shown(self.shared.second)
        a, b = (first, second) if self.shown_as_a == "first" else (second, first)
        statement = CONSTRUCTS[self.construct]
        request = PROMPTS.render(ROLE, self.shared.question, dataset, a=a, b=b, statement=statement, again=again)
        return replace(request, cap_is_final=True, stop=(FURTHER_TASK,))


def comparisons(pair: Pair, constructs: Sequence[str]) -> Iterator[Comparison]:
    """Every question with every construct in both orders, the two orders one after the other."""
    for shared in pair.questions:
        for construct in constructs:
            for shown_as_a in get_args(Cell):
                yield Comparison(shared, construct, shown_as_a)


def _shown(said: Explained) -> Json:
    return {"answer": said.answer or NOTHING, "explanation": said.explanation.strip() or NOTHING}
