"""The journal of an unfinished cell: what it has done so far, so that the same command resumes after any interruption.

`<results>/.journals/<cell_id>/` holds, per round, the ranking, every bought question, the checkpoint of a running fit,
the trained weights and the round's end. A cell saves each value and then uses it as it is read back, so that a resumed
cell gives exactly the results of one that never stopped. The journal is removed when the cell is finished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from benchmark.records.contents import file_hash
from benchmark.types import Json

STAMP = "stamp.json"
BUYER = "buyer.json"
"""File of the cell's mark on its payments. It outlives a change of the code, so that a payment is never lost."""
T = TypeVar("T")


def as_json(value: Any) -> Json:
    """Dataclasses, mappings and sequences as plain JSON values. Raises TypeError for a value that JSON cannot hold."""
    return json.loads(json.dumps(_plain(value)))


def from_json(hint: Any, value: Json) -> Any:
    """The value of type `hint` from what `as_json` returned. Raises ValueError if it does not fit the type."""
    return _adapter(hint).validate_python(value)


@lru_cache(maxsize=32)
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(hint)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def replace_file(path: Path, save: Callable[[Path], Any]) -> None:
    """Replaces a file; an interruption leaves the old one, or none. `save` writes to the temporary path that it gets.

    One process at a time may replace a file.
    """
    partial = path.with_name(f".{path.name}")
    save(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


@dataclass(frozen=True)
class Journal:
    """The journal of one cell; only the process that holds the cell's lock may use it.

    `say` receives a line for each file that cannot be used.
    """

    folder: Path
    say: Callable[[str], None]

    @classmethod
    def open(cls, results: Path, cell_id: str, say: Callable[[str], None]) -> Journal:
        """The journal of an earlier attempt; an empty one if there is none.

        If another version of the code or of a library wrote it, it is emptied, except for `BUYER`, and `say` is called.
        """
        folder = results / ".journals" / cell_id
        journal = cls(folder, say)
        buyer: Json = None
        if folder.is_dir() and journal.read(STAMP) != _stamp():
            say(f"{folder} was written by another version of the code or of its libraries; the cell starts again")
            buyer = journal.read(BUYER)
            shutil.rmtree(folder)
        if not folder.is_dir():
            folder.mkdir(parents=True)
            journal.write(STAMP, _stamp())
            if buyer is not None:
                journal.write(BUYER, buyer)
        return journal

    @property
    def has_work(self) -> bool:
        """Whether an earlier attempt left work from which the cell goes on."""
        return any(self.folder.glob("round-*/*"))

    def read(self, name: str) -> Json:
        """The content of a JSON file; None if it is missing or damaged. Reports damage."""
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.damaged(name, error)
            return None

    def write(self, name: str, value: Json) -> None:
        """Writes a JSON file; an interruption leaves the old file."""
        self.replace(name, lambda path: path.write_text(json.dumps(value), encoding="utf-8"))

    def replace(self, name: str, save: Callable[[Path], Any]) -> None:
        """Replaces a file; an interruption leaves the old file. `save` writes to the temporary path that it gets."""
        replace_file(self._place(name), save)

    def lines(self, name: str) -> list[Json]:
        """The rows of a file of JSON lines; empty if there is none.

        Cuts the file before the first damaged line, and reports that.
        """
        path = self.folder / name
        if not path.exists():
            return []
        rows = []
        whole = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    rows.append(json.loads(line))
                    if not line.endswith(b"\n"):
                        raise ValueError("the line is cut off")
                except ValueError as error:
                    rows = rows[: _line_number(path, whole)]
                    self.damaged(f"{name}, line {len(rows) + 1}", error)
                    break
                whole += len(line)
        os.truncate(path, whole)
        return rows

    def append(self, name: str, row: Json) -> None:
        """Adds a row to a file of JSON lines."""
        path = self._place(name)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def path(self, name: str) -> Path:
        """The path of a file of the journal."""
        return self.folder / name

    def _place(self, name: str) -> Path:
        """The path for a file that is about to be written. Raises FileNotFoundError if somebody deleted the journal."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} is gone: the results folder was deleted while the cell ran")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def intact(self, name: str, sha256: str) -> bool:
        """Whether a file exists and has this SHA-256. Reports a missing or changed file."""
        try:
            if file_hash(self.folder / name) == sha256:
                return True
            raise ValueError("its bytes have changed")
        except (OSError, ValueError) as error:
            self.damaged(name, error)
            return False

    def damaged(self, name: str, error: Exception) -> None:
        """Reports with `say` that a file cannot be used."""
        self.say(f"{self.folder / name} is damaged ({type(error).__name__}); the cell repeats the work that it held")

    def forget(self, name: str = "") -> None:
        """Removes a file or folder of the journal; without a name, the whole journal."""
        path = self.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _line_number(path: Path, end: int) -> int:
    with path.open("rb") as file:
        return file.read(end).count(b"\n")


@lru_cache(maxsize=1)
def _stamp() -> Json:
    """Hash of the engine's code, and versions of libraries: no other program may resume the cell."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    libraries = {name: version(name) for name in ("torch", "transformers", "pytorch-lightning")}
    return {"engine": digest.hexdigest(), **libraries}


def _sources() -> Iterator[Path]:
    yield from sorted(Path(__file__).resolve().parents[1].rglob("*.py"))
