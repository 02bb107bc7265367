"""What a cell has picked and bought, written down as it happens: a new attempt ranks and pays nothing twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.buying.meter import Answered, Meter
from benchmark.buying.purchase import Bought, Keep
from benchmark.records.journal import BUYER, Journal, as_json, from_json
from benchmark.running.resumable_state import ResumableState, round_folder
from benchmark.types import Json, Pick


@dataclass(frozen=True)
class PurchaseJournal:
    """The picks and purchases of every round in a cell's journal.

    Everything is used in the form in which it is read back, so that a cell that went on and a cell that never stopped
    cannot differ.
    """

    journal: Journal
    state: ResumableState
    """Its counts are written beside every purchase, and restored with it."""
    meter: Meter
    """Learns from the journal which replies are paid for."""

    def picks(self, round_index: int, rank: Callable[[], Sequence[Pick]]) -> list[Pick]:
        """The picks of a round: as an earlier attempt ranked them, else as `rank` gives them now."""
        name = f"{round_folder(round_index)}/picks.json"
        found = self.journal.read(name)
        if found is None:
            found = {"picks": as_json(rank()), "tallies": self.state.tallies()}
            self.journal.write(name, found)
        else:
            self.state.restore(found["tallies"])
        picks: list[Pick] = from_json(list[Pick], found["picks"])
        return picks

    def bought_before(self, round_index: int) -> list[Bought]:
        """What an earlier attempt bought in a round; all counts are set back to its last purchase."""
        rows = self._rows(round_index)
        if rows:
            self.state.restore(rows[-1]["tallies"])
        return [from_json(Bought, row["bought"]) for row in rows]

    def remember_replies(self, round_index: int) -> None:
        """Gives the meter the replies of a finished round, so that a repeated request is not charged again."""
        self._rows(round_index)

    def keep(self, round_index: int, advance: Callable[[int], None]) -> Keep:
        """Writes down every bought question of a round; `advance` is called with 1 after each."""

        def kept(bought: Bought, answered: Sequence[Answered]) -> Bought:
            row = as_json({"bought": bought, "answered": answered, "tallies": self.state.tallies()})
            self.journal.append(_file(round_index), row)
            advance(1)
            as_read: Bought = from_json(Bought, row["bought"])
            return as_read

        return kept

    def forget(self, round_index: int) -> None:
        """Drops the purchases of a round that nothing can be learnt from: the next attempt asks again what was lost.

        What the store kept costs nothing then, and what was paid for nothing is booked as spent.
        """
        self.journal.forget(_file(round_index))

    def _rows(self, round_index: int) -> list[Json]:
        rows = self.journal.lines(_file(round_index))
        for row in rows:
            self.meter.remember(from_json(list[Answered], row["answered"]))
        return rows


def buyer_mark(journal: Journal) -> str:
    """The mark under which a cell buys, equal in all attempts: after a death the store shows what the cell has paid."""
    found = journal.read(BUYER)
    if found is None:
        found = uuid.uuid4().hex
        journal.write(BUYER, found)
    return str(found)


def _file(round_index: int) -> str:
    return f"{round_folder(round_index)}/bought.jsonl"
