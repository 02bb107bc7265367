"""What a cell has done so far: what its record will show, and what a new attempt needs to go on after a death."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.records.evidence import PhaseClock, RankedQuestion
from benchmark.records.journal import Journal, as_json, from_json
from benchmark.running.cell_models import CellModels
from benchmark.student.fit import FitReport
from benchmark.student.remembered import Remembered
from benchmark.student.weights import load_weights, save_weights
from benchmark.teachers.ledger import Ledger
from benchmark.types import Annotation, Json, RoundLog


@dataclass
class ResumableState:
    """All that changes while a cell runs."""

    models: CellModels
    """The cell's models, which count their own work."""
    ledger: Ledger
    """What was charged, spent and computed."""
    history: list[RoundLog] = field(default_factory=list)
    """The finished rounds, in order."""
    bought: list[str] = field(default_factory=list)
    """Ids of the questions that are bought, in order of purchase."""
    annotations: list[Annotation] = field(default_factory=list)
    """All annotations with their weights of today; dropped ones have weight 0."""
    picks: list[RankedQuestion] = field(default_factory=list)
    """All questions that selections ranked, bought or not, round after round."""
    fits: list[FitReport] = field(default_factory=list)
    """One report per finished fit."""
    counters: Counter[str] = field(default_factory=Counter)
    """What the record lists as `counters`: truncations, unparsed answers, dropped annotations and so on."""
    notes: Counter[str] = field(default_factory=Counter)
    """The running round's sums of `Context.note`."""
    settled: list[str] = field(default_factory=list)
    """Marks of payments for replies that no question used; the ledger holds their cost already."""
    clock: PhaseClock = field(default_factory=PhaseClock)
    """Adds up the seconds of each phase, earlier attempts included."""
    phase: str = ""
    """The phase under which tokens of local models are booked as `computed`, such as `selection` or `training`."""

    def book_work(self) -> None:
        """Books the tokens of local models since the last call on the ledger, as `MODEL/PHASE`."""
        for name, usage in self.models.usage_since_last_call().items():
            self.ledger.compute(f"{name}/{self.phase}", usage)

    def enter(self, phase: str) -> None:
        """Begins a phase: from now on seconds and tokens of local models are booked on it."""
        self.book_work()
        self.clock.enter(phase)
        self.phase = phase

    def tallies(self) -> Json:
        """All counts of this moment, as JSON."""
        self.book_work()
        return as_json(
            {
                "ledger": self.ledger,
                "counters": self.counters,
                "notes": self.notes,
                "seconds": self.clock.totals(),
                "models": {name: model.counters for name, model in self.models.counted.items()},
            }
        )

    def restore(self, tallies: Json) -> None:
        """Sets all counts to what `tallies` returned earlier."""
        ledger = from_json(Ledger, tallies["ledger"])
        self.ledger.charged, self.ledger.spent, self.ledger.computed = ledger.charged, ledger.spent, ledger.computed
        _refill(self.counters, tallies["counters"])
        _refill(self.notes, tallies["notes"])
        self.clock.restore(tallies["seconds"])
        for name, model in self.models.counted.items():
            _refill(model.counters, tallies["models"][name])
        self.models.usage_since_last_call()  # what they did to get here was counted by the attempt that did it first

    def finish_round(self, journal: Journal, log: RoundLog, remembered: Remembered) -> None:
        """Adds a finished round, and writes everything that the next round needs into the journal."""
        self.history.append(log)
        names = ("history", "bought", "annotations", "picks", "fits", "settled")
        everything = {name: getattr(self, name) for name in names}
        end = {**as_json(everything), "tallies": self.tallies(), "remembered": as_json(remembered.state_dict())}
        journal.write(f"{round_folder(log.round.index)}/end.json", end)
        for name in ("weights.json", "weights.safetensors"):
            journal.forget(f"{round_folder(log.round.index - 1)}/{name}")

    def resume(self, journal: Journal, remembered: Remembered) -> None:
        """Restores the state after the last finished round of an earlier attempt; does nothing where there is none.

        Where that round's files are damaged, training begins anew from the purchases, which are kept.
        """
        number = _finished_rounds(journal)
        if number == 0:
            return
        folder = round_folder(number - 1)
        end = journal.read(f"{folder}/end.json")
        if end is None or not load_weights(self.models.student.network, journal, folder):
            for later in range(number):
                journal.forget(f"{round_folder(later)}/end.json")  # purchases stay; what was trained is trained again
            return
        self.history = from_json(list[RoundLog], end["history"])
        self.bought = end["bought"]
        self.annotations = from_json(list[Annotation], end["annotations"])
        self.picks = from_json(list[RankedQuestion], end["picks"])
        self.fits = from_json(list[FitReport], end["fits"])
        self.settled = end["settled"]
        self.restore(end["tallies"])
        remembered.load_state_dict(end["remembered"])

    def finish_fit(self, journal: Journal, folder: str, report: FitReport, remembered: Remembered) -> None:
        """Adds a finished fit, writes its weights into the journal, and removes its checkpoints."""
        self.fits.append(report)
        save_weights(self.models.student.network, journal, folder)
        end = {"report": as_json(report), "tallies": self.tallies(), "remembered": as_json(remembered.state_dict())}
        journal.write(f"{folder}/fit.json", end)
        journal.forget(f"{folder}/fit")

    def fitted(self, journal: Journal, folder: str, remembered: Remembered) -> bool:
        """True where an earlier attempt finished this fit; weights and counts are then restored to its end."""
        end: Mapping[str, Json] | None = journal.read(f"{folder}/fit.json")
        if end is None or not load_weights(self.models.student.network, journal, folder):
            return False
        self.fits.append(from_json(FitReport, end["report"]))
        self.restore(end["tallies"])
        remembered.load_state_dict(end["remembered"])
        return True


def round_folder(index: int) -> str:
    """The folder of a round in a cell's journal."""
    return f"round-{index}"


def _finished_rounds(journal: Journal) -> int:
    number = 0
    while journal.path(f"{round_folder(number)}/end.json").exists():
        number += 1
    return number


def _refill(counter: Counter[str], counts: Mapping[str, int]) -> None:
    counter.clear()
    counter.update(counts)
