"""What an unfinished cell has done so far, so that the same command goes on there after any kind of death.

`<results>/.journals/<cell_id>/` holds, per round, the ranking, every bought question, the checkpoint of a running fit,
the trained weights and the round's end. Everything is acted on in the form in which it is read back, so that a cell
that went on and one that never stopped cannot differ. A finished cell needs its journal no more.
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
"""Under which mark the cell buys: what it has paid for is its own, whatever version of the code goes on."""
T = TypeVar("T")


def as_json(value: Any) -> Json:
    """Dataclasses, mappings and sequences as plain JSON values. Raises TypeError for what JSON cannot hold."""
    return json.loads(json.dumps(_plain(value)))


def from_json(hint: Any, value: Json) -> Any:
    """The value that `as_json` took apart. Raises ValueError where it does not fit the type."""
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


@dataclass(frozen=True)
class Journal:
    """The journal of one cell. Its holder must hold the cell's lock. `say` tells what could not be used."""

    folder: Path
    say: Callable[[str], None]

    @classmethod
    def open(cls, results: Path, cell_id: str, say: Callable[[str], None]) -> Journal:
        """The journal as an earlier attempt left it; an empty one where there was none or another program wrote it."""
        folder = results / ".journals" / cell_id
        journal = cls(folder, say)
        buyer: Json = None
        if folder.is_dir() and journal.read(STAMP) != _stamp():
            say(f"{folder} was written by another version of the code or of its libraries; the cell starts anew")
            buyer = journal.read(BUYER)
            shutil.rmtree(folder)
        if not folder.is_dir():
            folder.mkdir(parents=True)
            journal.write(STAMP, _stamp())
            if buyer is not None:
                journal.write(BUYER, buyer)
        return journal

    def read(self, name: str) -> Json:
        """The content of a JSON file; None where it is missing, or damaged, which is told."""
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.damaged(name, error)
            return None

    def write(self, name: str, value: Json) -> None:
        """Writes a JSON file whole or not at all."""
        self.replace(name, lambda path: path.write_text(json.dumps(value), encoding="utf-8"))

    def replace(self, name: str, save: Callable[[Path], Any]) -> None:
        """Writes a file whole or not at all: `save` is given a temporary name beside the final one."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        save(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)

    def lines(self, name: str) -> list[Json]:
        """The rows of a file of JSON lines; what stands behind a damaged line is cut off, which is told."""
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
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def path(self, name: str) -> Path:
        """Where a file of the journal lies."""
        return self.folder / name

    def intact(self, name: str, sha256: str) -> bool:
        """Whether a file is there with the bytes that it was written with; where it is not, that is told."""
        try:
            if file_hash(self.folder / name) == sha256:
                return True
            raise ValueError("its bytes have changed")
        except (OSError, ValueError) as error:
            self.damaged(name, error)
            return False

    def damaged(self, name: str, error: Exception) -> None:
        """Tells that a file cannot be used."""
        self.say(f"{self.folder / name} is damaged ({type(error).__name__}); what it held is done again")

    def forget(self, name: str = "") -> None:
        """Removes a file or folder of the journal; the whole journal without a name."""
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
    """The program that writes: a half-done cell must not be finished by another one."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    libraries = {name: version(name) for name in ("torch", "transformers", "pytorch-lightning")}
    return {"engine": digest.hexdigest(), **libraries}


def _sources() -> Iterator[Path]:
    yield from sorted(Path(__file__).resolve().parents[1].rglob("*.py"))
