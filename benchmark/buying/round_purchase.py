"""What a round asks of the teacher: questions ranked, then bought. The same for training and for preparing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from benchmark.buying.meter import Meter
from benchmark.buying.purchase import Bought, Keep, buy_in_rank_order
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext
from benchmark.errors import ConfigError
from benchmark.types import Example, Pick, Question


@dataclass(frozen=True)
class RoundPurchase:
    """The purchases of one cell from its `pool`, through its `meter`."""

    cell: Cell
    pool: Sequence[Example]
    meter: Meter

    def budget_so_far(self, context: CellContext) -> float:
        """What may be spent of the budget by the end of the round. Raises ValueError for more than all of it."""
        share = sum(log.round.share for log in context.history) + context.round.share
        if share > 1 + 1e-9:
            raise ValueError(
                f"the schedule's rounds share {share:.3f} of the budget; together they may share all of it"
            )
        return share

    def rank(self, bought: Collection[str], context: CellContext) -> Sequence[Pick]:
        """The selection's picks among the questions that are not bought yet. Raises ValueError for any other pick."""
        before = set(bought)
        pool = [row.without_gold() for row in self.pool if row.id not in before]
        picks = self.cell.method.selection.rank(pool, context.for_axis("selection"))
        _refuse_strangers(picks, pool)
        return picks

    def most_questions(self, picks: int, share: float, already_bought: int) -> int:
        """How many questions the round can buy at most: for a display, since calls may run out before."""
        return min(picks, round((self.cell.budget.questions or picks) * share) - already_bought)

    def buy_round(
        self,
        picks: Sequence[Pick],
        context: CellContext,
        share: float,
        already_bought: int,
        keep: Keep,
        say: Callable[[str], None],
    ) -> list[Bought]:
        """As many of the picks as the share of the budget admits; `say` is told where it ends before the picks do.

        What was paid for what no question took is to be settled afterwards. Raises ConfigError where the budget admits
        not even the first question.
        """
        annotator, of_axis = self.cell.method.annotation, context.for_axis("annotation")
        ends: list[str] = []
        new = buy_in_rank_order(
            picks, annotator, of_axis, self.meter, self.cell.budget, share, already_bought, keep, ends.append
        )
        if ends and not new and not already_bought:
            raise ConfigError(f"{ends[0]}; give at least that")
        for end in ends:
            say(end)
        return new


def _refuse_strangers(picks: Sequence[Pick], pool: Sequence[Question]) -> None:
    """Raises ValueError for picks that are not from the pool or come twice: they would be paid twice."""
    seen, known = set(), {question.id for question in pool}
    for pick in picks:
        if pick.question.id not in known or pick.question.id in seen:
            raise ValueError(
                f"the selection picked {pick.question.id!r}, which is not in the pool or was picked already"
            )
        seen.add(pick.question.id)
