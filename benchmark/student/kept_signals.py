"""A frozen model's numbers for the examples of a fit: looked up, computed where they are missing, and read in steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchmark.console.progress import Advance, show_nothing
from benchmark.contract import Compute
from benchmark.records.contents import json_hash
from benchmark.student.frozen import Frozen
from benchmark.student.signal_store import SignalKey, SignalStore
from benchmark.types import Json, TrainingExample

if TYPE_CHECKING:
    from benchmark.student.batch import MicroBatch

GB = 10**9
Batches = Callable[[Sequence[TrainingExample]], Iterator["MicroBatch"]]
Text = tuple[str, str, str, tuple[int, ...] | None]
"""What of an example decides its tokens; weights and spans do not."""


@contextmanager
def _no_bar(description: str, total: int | None) -> Iterator[Advance]:
    yield show_nothing


@dataclass(frozen=True)
class Workplace:
    """What a fit has around it."""

    folder: Path | None = None
    """Holds the stored signals of all cells of the results folder; None if there is none."""
    maker: str = ""
    """Names the fit; the same after an interruption."""
    bar: Callable[[str, int | None], AbstractContextManager[Advance]] = _no_bar
    """Shows work of so many units, see `Display.bar`."""
    note: Callable[[Mapping[str, float]], None] = lambda counts: None
    """Adds to the round's notes in the record."""


class Keeper(Protocol):
    """Where numbers are kept."""

    def __contains__(self, key: SignalKey) -> bool: ...

    def rows(self, key: SignalKey) -> np.ndarray:
        """[tokens, ...] of one example."""
        ...

    def others(self, example: str) -> list[SignalKey]:
        """The keys of an example, whatever its prompt and target were."""
        ...


@dataclass
class MemoryKeeper:
    """Keeps numbers in memory."""

    of_key: dict[SignalKey, np.ndarray] = field(default_factory=dict)

    def __contains__(self, key: SignalKey) -> bool:
        return key in self.of_key

    def rows(self, key: SignalKey) -> np.ndarray:
        """[tokens, ...] of one example."""
        return self.of_key[key]

    def others(self, example: str) -> list[SignalKey]:
        """The keys of an example, whatever its prompt and target were."""
        return [key for key in self.of_key if key.example == example]


@dataclass
class Signals:
    """See `contract.KeptSignals`."""

    keeper: Keeper
    """Has the numbers."""
    keys: dict[Text, SignalKey] = field(default_factory=dict)
    """The examples that were prepared."""
    tokens: dict[SignalKey, int] = field(default_factory=dict)
    """Key -> its number of target tokens."""

    def of(self, examples: Sequence[TrainingExample]) -> list[np.ndarray]:
        """Per example its [tokens, ...] numbers, EOS last. Raises ValueError for one that was not prepared."""
        keys = [self.keys.get(text_of(example)) for example in examples]
        return [self._rows(key, example) for key, example in zip(keys, examples, strict=True)]

    def _rows(self, key: SignalKey | None, example: TrainingExample) -> np.ndarray:
        if key is None or key not in self.keeper:
            name = example_id(example)
            why = "with this prompt and target" if self.keeper.others(name) else "at all"
            raise ValueError(
                f"the teacher's signal of example {name} was not prepared {why}; only the examples of the format can "
                "have a stored signal: choose loss/signal=live, or a curriculum and data policy that write no text"
            )
        return self.keeper.rows(key)

    def add_keys(self, model: Frozen, examples: Sequence[TrainingExample], batches: Batches) -> dict[SignalKey, Any]:
        """Key -> one example, for all examples; turns those into tokens that are new."""
        new = [example for example in dict.fromkeys(examples) if text_of(example) not in self.keys]
        for batch in batches(new):
            for example, (prompt, target) in zip(batch.examples, model.token_ids(batch), strict=True):
                key = SignalKey(example_id(example), _hash_of(prompt, target))
                self.keys[text_of(example)], self.tokens[key] = key, len(target)
        return {self.keys[text_of(example)]: example for example in examples}


def text_of(example: TrainingExample) -> Text:
    """What of an example decides its tokens, and its name."""
    return example_id(example), example.prompt, example.target_text, example.token_ids


def example_id(example: TrainingExample) -> str:
    """The ids of the annotations that it was made from, or else of its group, and its task."""
    return "+".join(example.annotations or (example.group,)) + f" as {example.task}"


def _hash_of(prompt: Sequence[int], target: Sequence[int]) -> str:
    return json_hash([list(prompt), list(target)])[:32]


# --- in memory -------------------------------------------------------------------------------------------------------


def kept_in_memory(
    earlier: Any,
    model: Frozen,
    examples: Sequence[TrainingExample],
    batches: Batches,
    compute: Compute,
    bytes_per_token: int,
    most_gb: float,
    place: Workplace,
) -> Signals:
    """See `contract.Preparation.keep_in_memory`."""
    signals = earlier if isinstance(earlier, Signals) else Signals(MemoryKeeper())
    keeper = signals.keeper
    assert isinstance(keeper, MemoryKeeper)
    wanted = signals.add_keys(model, examples, batches)
    tokens = sum(signals.tokens[key] for key in {**dict.fromkeys(keeper.of_key), **wanted})
    if (needed := tokens * bytes_per_token / GB) > most_gb:
        raise ValueError(
            f"the teacher's distributions at {tokens:,} target tokens fill {needed:.2g} GB, and "
            f"loss.signal.most_gb={most_gb} is the limit; raise it, buy fewer questions, or choose loss/signal=top_k"
        )
    missing = [example for key, example in wanted.items() if key not in keeper]
    with place.bar("teacher signals", len(wanted)) as advance:
        advance(len(wanted) - len(missing), earlier=True)
        for batch in batches(missing):
            for example, rows, _ in _computed(batch, compute):
                keeper.of_key[signals.keys[text_of(example)]] = rows
            advance(len(batch.examples))
    computed = sum(signals.tokens[signals.keys[text_of(example)]] for example in missing)
    place.note(
        {"signal_positions": sum(map(signals.tokens.__getitem__, wanted)), "signal_positions_computed": computed}
    )
    return signals


def _computed(batch: MicroBatch, compute: Compute) -> Iterator[tuple[TrainingExample, np.ndarray, Mapping[str, float]]]:
    """Per example of a batch (it, its numbers, by name the sum of what is noted)."""
    rows, noted = compute(batch)
    ends = np.cumsum([len(part) for part in batch.split(batch.tokens)])[:-1]
    parts = np.split(rows, ends)
    sums = {name: [float(part.sum(dtype=np.float64)) for part in np.split(each, ends)] for name, each in noted.items()}
    for number, (example, part) in enumerate(zip(batch.examples, parts, strict=True)):
        yield example, part, {name: each[number] for name, each in sums.items()}


# --- on disk ---------------------------------------------------------------------------------------------------------


def kept_on_disk(
    earlier: Any,
    model: Frozen,
    examples: Sequence[TrainingExample],
    batches: Batches,
    compute: Compute,
    settings: Mapping[str, Json],
    row: np.dtype,
    place: Workplace,
) -> Signals:
    """See `contract.Preparation.keep_on_disk`."""
    if place.folder is None:
        raise ValueError(
            "there is no results folder to keep the teacher's signals in; choose loss/signal=dense or live"
        )
    manifest = {"format": 1, **model.identity, **settings}
    named = json_hash([manifest[name] for name in ("format", "teacher", "precision", *settings)])[:16]
    store = SignalStore.open(place.folder / named, manifest, row, place.maker)
    signals = Signals(store)
    if isinstance(earlier, Signals):
        signals.keys, signals.tokens = earlier.keys, earlier.tokens
    wanted = signals.add_keys(model, examples, batches)
    for part in store.work_before():  # its attempt died before it could book them
        model.model.book(part.usage, Counter(part.counts))
    with place.bar("teacher signals", len(wanted)) as advance:
        missing = _missing(store, wanted)
        advance(len(wanted) - len(missing), earlier=True)
        if missing:
            _compute_missing(signals, store, missing, model, batches, compute, advance)
    store.check(list(wanted))
    place.note(_notes(store, list(wanted)))
    return signals


def _missing(store: SignalStore, wanted: Mapping[SignalKey, TrainingExample]) -> dict[SignalKey, TrainingExample]:
    return {key: example for key, example in wanted.items() if key not in store}


def _compute_missing(
    signals: Signals,
    store: SignalStore,
    missing: Mapping[SignalKey, TrainingExample],
    model: Frozen,
    batches: Batches,
    compute: Compute,
    advance: Advance,
) -> None:
    """Computes and writes what is missing, unless another process is doing so: then this one waits for it."""
    with store.lock:
        store.refresh()
        still_missing = _missing(store, missing)
        advance(len(missing) - len(still_missing), earlier=True)
        with store.writing() as writer:
            for batch in batches(list(still_missing.values())):
                usage, counts = model.model.usage, Counter(model.model.counters)
                found = [(signals.keys[text_of(each)], rows, sums) for each, rows, sums in _computed(batch, compute)]
                writer.add(found, model.model.usage - usage, model.model.counters - counts)
                advance(len(batch.examples))


def _notes(store: SignalStore, keys: Sequence[SignalKey]) -> dict[str, float]:
    """Target tokens of these examples, how many of them this fit computed, and means of what was noted of each."""
    entries = [store.places[key].entry for key in keys]
    positions = sum(entry.count for entry in entries)
    totals = {name: sum(entry.sums[name] for entry in entries) for name in entries[0].sums}
    means = {f"signal_{name}": total / positions for name, total in totals.items()}
    return {"signal_positions": positions, "signal_positions_computed": store.made_here(keys), **means}
