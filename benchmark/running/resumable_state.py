"""What a cell has done so far: all that its record will show, and all that a new attempt needs to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.contract import DataPolicy
from benchmark.records.journal import Journal, as_json, from_json
from benchmark.running.cell_models import CellModels
from benchmark.student.fit import FitReport
from benchmark.student.weights import load_weights, save_weights
from benchmark.teachers.ledger import Ledger
from benchmark.types import Annotation, Json, RoundLog


@dataclass
class ResumableState:
    """The finished rounds, and what was counted. `phase` is the part at work, on which local models' work is booked.

    `settled` marks what was paid for what no question took, as the ledger holds it.
    """

    models: CellModels
    ledger: Ledger
    history: list[RoundLog] = field(default_factory=list)
    bought: list[str] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    fits: list[FitReport] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    settled: list[str] = field(default_factory=list)
    phase: str = ""

    def book_work(self) -> None:
        """Books what the local models have done since the last time on the phase that is running."""
        for name, usage in self.models.usage_since_last_call().items():
            self.ledger.compute(f"{name}/{self.phase}", usage)

    def enter(self, phase: str) -> None:
        """From now on the local models work for another part."""
        self.book_work()
        self.phase = phase

    def tallies(self) -> Json:
        """All counts of this moment."""
        self.book_work()
        return as_json(
            {
                "ledger": self.ledger,
                "counters": self.counters,
                "notes": self.notes,
                "models": {name: model.counters for name, model in self.models.local.items()},
            }
        )

    def restore(self, tallies: Json) -> None:
        """Takes back what `tallies` gave."""
        ledger = from_json(Ledger, tallies["ledger"])
        self.ledger.charged, self.ledger.spent, self.ledger.computed = ledger.charged, ledger.spent, ledger.computed
        _refill(self.counters, tallies["counters"])
        _refill(self.notes, tallies["notes"])
        for name, model in self.models.local.items():
            _refill(model.counters, tallies["models"][name])
        self.models.usage_since_last_call()  # what they did to get here was counted by the attempt that did it first

    def finish_round(self, journal: Journal, log: RoundLog, policy: DataPolicy) -> None:
        """Adds a finished round and writes down everything that the next one needs."""
        self.history.append(log)
        everything = {name: getattr(self, name) for name in ("history", "bought", "annotations", "fits", "settled")}
        end = {**as_json(everything), "tallies": self.tallies(), "policy": as_json(policy.state_dict())}
        journal.write(f"{round_folder(log.round.index)}/end.json", end)
        for name in ("weights.json", "weights.safetensors"):
            journal.forget(f"{round_folder(log.round.index - 1)}/{name}")

    def go_on(self, journal: Journal, policy: DataPolicy) -> None:
        """Takes the place after the last finished round of an earlier attempt, if there is one that can be used."""
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
        self.fits = from_json(list[FitReport], end["fits"])
        self.settled = end["settled"]
        self.restore(end["tallies"])
        policy.load_state_dict(end["policy"])

    def finish_fit(self, journal: Journal, folder: str, report: FitReport, policy: DataPolicy) -> None:
        """Writes down what a fit has made; its checkpoints are needed no more."""
        self.fits.append(report)
        save_weights(self.models.student.network, journal, folder)
        end = {"report": as_json(report), "tallies": self.tallies(), "policy": as_json(policy.state_dict())}
        journal.write(f"{folder}/fit.json", end)
        journal.forget(f"{folder}/fit")

    def fitted(self, journal: Journal, folder: str, policy: DataPolicy) -> bool:
        """Whether an earlier attempt finished this fit; then everything stands as it stood at its end."""
        end: Mapping[str, Json] | None = journal.read(f"{folder}/fit.json")
        if end is None or not load_weights(self.models.student.network, journal, folder):
            return False
        self.fits.append(from_json(FitReport, end["report"]))
        self.restore(end["tallies"])
        policy.load_state_dict(end["policy"])
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
