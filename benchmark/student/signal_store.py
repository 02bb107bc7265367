"""Numbers that a frozen model gave to target tokens, on disk: made once, read by all cells of a results folder.

A store is a folder with `manifest.json`, which says what the numbers depend on, and one folder per part. A part is
written under another name and then renamed, so that a reader sees whole parts or nothing. `rows.npy` has one row per
target token and is mapped into memory; `index.json` says which rows belong to which example. Nothing is ever changed,
and nothing that is damaged is removed.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from benchmark.errors import DataError
from benchmark.records.contents import file_hash, json_hash
from benchmark.records.journal import as_json, from_json, replace_file
from benchmark.types import Json, Usage

PART_BYTES = 2**25
"""A part is written when its rows fill so many bytes (32 MiB), or when `PART_SECONDS` have passed."""
PART_SECONDS = 60.0
"""A killed process loses at most what it computed in so many seconds."""
MANIFEST, INDEX, ROWS, UNFINISHED = "manifest.json", "index.json", "rows.npy", ".writing-"
AGAIN = "remove {}, and the next run computes what it held"


@dataclass(frozen=True)
class SignalKey:
    """What numbers belong to: never a step, an order or a place in a batch."""

    example: str
    """The ids of the example's annotations (or of its group), and its task."""
    tokens: str
    """A hash of the prompt's tokens as the model reads them, and of the target's."""


@dataclass(frozen=True)
class Entry:
    """One example in a part."""

    key: SignalKey
    """Which example, on which tokens."""
    first: int
    """Its first row in the part."""
    count: int
    """How many rows it has: its target tokens."""
    sums: Mapping[str, float]
    """By name the sum over its rows of something that is worth a line in a record."""


@dataclass(frozen=True)
class Part:
    """What `index.json` says of a part."""

    maker: str
    """Which fit of which cell computed it."""
    usage: Usage
    """What the model read for it."""
    counts: Mapping[str, int]
    """What the model had to cut for it, by the names of `Student.counters`."""
    sha256: str
    """Of `rows.npy`."""
    entries: tuple[Entry, ...]
    """Its examples, in the order of their rows."""


@dataclass(frozen=True)
class Place:
    """Where the rows of an example are."""

    part: str
    """The name of the part."""
    entry: Entry
    """The example in it."""


Found = tuple[SignalKey, np.ndarray, Mapping[str, float]]
"""An example, its rows, and by name the sum over them of something that is worth a line in a record."""


@dataclass
class SignalStore:
    """The store in one folder. Use `open`, which checks that its numbers are the ones that are wanted."""

    folder: Path
    """The folder of this model and these settings."""
    row: np.dtype
    """The fields of a row."""
    maker: str
    """Names the fit that computes now; the same after an interruption."""
    parts: dict[str, Part] = field(default_factory=dict)
    """Name -> part, as far as they are known."""
    places: dict[SignalKey, Place] = field(default_factory=dict)
    """Example -> where its rows are."""
    checked: set[str] = field(default_factory=set)
    """The parts whose bytes this process has compared with their hash."""

    @classmethod
    def open(cls, folder: Path, manifest: Mapping[str, Json], row: np.dtype, maker: str) -> SignalStore:
        """The store in a folder, which is made if it is not there.

        Raises DataError with both values where its manifest is another one, and where a file is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, row, maker)
        wanted = {**manifest, "row": as_json(row.descr)}
        if not (folder / MANIFEST).exists():
            with store.lock:
                store._make(wanted)
        _refuse_other(folder, _json(folder / MANIFEST), wanted)
        store.refresh()
        return store

    def _make(self, manifest: Json) -> None:
        """Writes the manifest of a new store, unless another process has just done so."""
        if (self.folder / MANIFEST).exists():
            return
        if any(self.folder.glob(f"*/{INDEX}")):
            raise DataError(
                f"{self.folder} has lost its {MANIFEST}, so that nobody knows its teacher; {AGAIN.format(self.folder)}"
            )
        replace_file(
            self.folder / MANIFEST, lambda path: path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        )

    @property
    def lock(self) -> FileLock:
        """Held by the process that computes; another one waits, and then reads what it finds."""
        return FileLock(self.folder / ".lock")

    def refresh(self) -> None:
        """Reads the index of every part that is new. Raises DataError for a damaged one."""
        for path in sorted(self.folder.iterdir()):
            if path.is_dir() and not path.name.startswith(".") and path.name not in self.parts:
                part = self._read(path)
                self.parts[path.name] = part
                for entry in part.entries:
                    self.places.setdefault(entry.key, Place(path.name, entry))

    def _read(self, path: Path) -> Part:
        try:
            part: Part = from_json(Part, _json(path / INDEX))
        except ValueError as error:
            raise DataError(f"{path / INDEX} is damaged: it is no index of a part; {AGAIN.format(path)}") from error
        length = len(self._mapped(path.name))
        if length != sum(entry.count for entry in part.entries):
            raise DataError(f"{path / ROWS} has {length} rows, and {INDEX} names others; {AGAIN.format(path)}")
        return part

    def _mapped(self, part: str) -> np.ndarray:
        path = self.folder / part / ROWS
        try:
            stamp = path.stat()
            found = _mapped(path, stamp.st_size, stamp.st_mtime_ns)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}); {AGAIN.format(path.parent)}") from error
        if found.dtype != self.row or found.ndim != 1:
            raise DataError(f"{path} holds {found.dtype}, and not {self.row}; {AGAIN.format(path.parent)}")
        return found

    def __contains__(self, key: SignalKey) -> bool:
        return key in self.places

    def others(self, example: str) -> list[SignalKey]:
        """The keys of an example, whatever its prompt and target were."""
        return [key for key in self.places if key.example == example]

    def check(self, keys: Sequence[SignalKey]) -> None:
        """Compares the parts that hold these examples with their hash, each once. Raises DataError for another one."""
        for name in sorted({self.places[key].part for key in keys} - self.checked):
            path = self.folder / name / ROWS
            if file_hash(path) != self.parts[name].sha256:
                raise DataError(f"{path} has changed since it was written; {AGAIN.format(path.parent)}")
            self.checked.add(name)

    def rows(self, key: SignalKey) -> np.ndarray:
        """[tokens] rows of an example, as they are on the disk."""
        at = self.places[key]
        return self._mapped(at.part)[at.entry.first : at.entry.first + at.entry.count]

    def made_here(self, keys: Sequence[SignalKey]) -> int:
        """How many rows of these examples this fit computed, before an interruption too."""
        places = [self.places[key] for key in keys]
        return sum(at.entry.count for at in places if self.parts[at.part].maker == self.maker)

    def work_before(self) -> list[Part]:
        """The parts that an earlier attempt at this fit has computed."""
        return [part for part in self.parts.values() if part.maker == self.maker]

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Gives a writer to the process that holds the lock; what it was given is saved, whatever ends the block."""
        for left in self.folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left)  # of a killed process: nobody else writes while the lock is held
        writer = Writer(self)
        try:
            yield writer
        finally:
            writer.flush()


@dataclass
class Writer:
    """Gathers the rows of batches, and writes them as parts."""

    store: SignalStore
    """Where they go."""
    entries: list[Entry] = field(default_factory=list)
    """Of the examples that are not written yet."""
    rows: list[np.ndarray] = field(default_factory=list)
    """Their rows."""
    length: int = 0
    """The number of these rows."""
    usage: Usage = field(default_factory=Usage)
    """What the model read for them."""
    counts: Counter[str] = field(default_factory=Counter)
    """What it had to cut."""
    since: float = field(default_factory=time.monotonic)
    """When the last part was written."""

    def add(self, found: Iterable[Found], usage: Usage, counts: Counter[str]) -> None:
        """Takes the examples of a whole batch with the model's work for it; writes a part where one is due."""
        for key, rows, sums in found:
            self.entries.append(Entry(key, self.length, len(rows), sums))
            self.rows.append(rows)
            self.length += len(rows)
        self.usage += usage
        self.counts.update(counts)
        large = self.length * self.store.row.itemsize >= PART_BYTES
        if large or time.monotonic() - self.since >= PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what there is, and lets the store know it."""
        if not self.rows:
            return
        store, names = self.store, [as_json(entry.key) for entry in self.entries]
        partial = store.folder / f"{UNFINISHED}{uuid.uuid4().hex}"
        partial.mkdir()
        rows = np.concatenate(self.rows)
        replace_file(partial / ROWS, lambda path: np.save(path, rows, allow_pickle=False))
        part = Part(store.maker, self.usage, dict(self.counts), file_hash(partial / ROWS), tuple(self.entries))
        replace_file(partial / INDEX, lambda path: path.write_text(json.dumps(as_json(part)), encoding="utf-8"))
        name = json_hash(names)[:16]
        try:
            partial.rename(store.folder / name)
        except OSError:
            if not (store.folder / name / INDEX).exists():
                raise
            shutil.rmtree(partial)  # somebody else has written the same examples, without heeding the lock
        self.entries, self.rows, self.length, self.since = [], [], 0, time.monotonic()
        self.usage, self.counts = Usage(), Counter()
        store.refresh()


@lru_cache(maxsize=64)
def _mapped(path: Path, size: int, changed: int) -> np.ndarray:
    """A file's array, mapped and not read; each one keeps a file open. Raises ValueError for a cut file.

    Size and time are in the key, so that a changed file is mapped again.
    """
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _json(path: Path) -> Json:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        where = path.parent
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error}); {AGAIN.format(where)}") from error


def _refuse_other(folder: Path, known: Json, wanted: Mapping[str, Json]) -> None:
    """Raises DataError that names every value in which the manifest differs."""
    have = known if isinstance(known, Mapping) else {}
    differing = [name for name in {**have, **wanted} if have.get(name) != wanted.get(name)]
    if differing:
        values = "; ".join(f"{name} is {have.get(name)!r} there and {wanted.get(name)!r} here" for name in differing)
        raise DataError(
            f"the teacher signals in {folder} do not fit this cell: {values}. Use the same teacher, tokenizer and "
            f"chat template, give another results_dir, or {AGAIN.format(folder)}"
        )
