"""Ranks and buys the questions of one round; used by training and by `mode=annotate`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from benchmark.buying.meter import Meter
from benchmark.buying.purchase import Bought, Keep, buy_in_rank_order
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext
from benchmark.errors import ConfigError
from benchmark.tasks.guard import gold_closed
from benchmark.types import Example, Pick, Question


@dataclass(frozen=True)
class RoundPurchase:
    """Buys questions of one cell from its `pool`; `meter` asks the models and books the cost."""

    cell: Cell
    pool: Sequence[Example]
    meter: Meter

    def share_so_far(self, context: CellContext) -> float:
        """The share of the budget, in [0, 1], that may be used by the end of the round, earlier rounds included.

        Raises ValueError if the rounds' shares add up to more than 1.
        """
        share = sum(log.round.share for log in context.history) + context.round.share
        if share > 1 + 1e-9:
            raise ValueError(f"the shares of the schedule's rounds add up to {share:.3f} of the budget; the most is 1")
        return share

    def rank(self, bought: Collection[str], context: CellContext) -> Sequence[Pick]:
        """The selection's picks, best first; `bought` holds the ids of questions bought before.

        Raises ValueError for a pick that was bought before, is not in the pool, or comes twice.
        """
        before = set(bought)
        pool = [row.without_gold() for row in self.pool if row.id not in before]
        selection = self.cell.method.selection
        with gold_closed("selection", selection.requires().gold):
            picks = selection.rank(pool, context.for_axis("selection"))
        _refuse_strangers(picks, pool)
        return picks

    def most_questions(self, picks: int, share_so_far: float, already_bought: int) -> int:
        """The most questions that the round can buy, for a progress display; other limits may end it earlier."""
        return min(picks, round((self.cell.budget.questions or picks) * share_so_far) - already_bought)

    def buy_round(
        self,
        picks: Sequence[Pick],
        context: CellContext,
        share_so_far: float,
        already_bought: int,
        keep: Keep,
        say: Callable[[str], None],
    ) -> list[Bought]:
        """Buys picks in order until the first that does not fit into `share_so_far` of the budget.

        `say` receives a line if the budget ends before the picks. Call `Meter.settle` afterwards, which books payments
        for unused replies. Raises ConfigError if the cell's first question does not fit; see also `buy_in_rank_order`.
        """
        annotator, of_axis = self.cell.method.annotation, context.for_axis("annotation")
        ends: list[str] = []
        with gold_closed("annotation", annotator.requires().gold):
            new = buy_in_rank_order(
                picks, annotator, of_axis, self.meter, self.cell.budget, share_so_far, already_bought, keep, ends.append
            )
        if ends and not new and not already_bought:
            raise ConfigError(f"{ends[0]}; raise the limit to at least that")
        for end in ends:
            say(end)
        return new


def _refuse_strangers(picks: Sequence[Pick], pool: Sequence[Question]) -> None:
    """Raises ValueError for a pick that is not in the pool or comes twice, as it would be paid twice."""
    seen, known = set(), {question.id for question in pool}
    for pick in picks:
        if pick.question.id not in known or pick.question.id in seen:
            raise ValueError(
                f"the selection picked {pick.question.id!r}, which is not in the pool or was picked already"
            )
        seen.add(pick.question.id)
