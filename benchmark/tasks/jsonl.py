"""Datasets that lie in a folder of JSON lines: `<data_dir>/<folder>/{train,validation,test}.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmark.contract import Task
from benchmark.errors import DataError
from benchmark.random_streams import stream
from benchmark.tasks.dataset import Exemplar, Splits, TestSplit, content_hash
from benchmark.types import Example


@dataclass(frozen=True)
class JsonlDataset:
    """A dataset in the layout `id, question, choices, answer, rationale[, context]`, one JSON object a line.

    `pool` and `test` name files. Validation is the file named `validation`, or, where that is null,
    `validation_size` rows drawn from the pool with `split_seed`.
    """

    name: str
    folder: str
    task: Task
    exemplars: tuple[Exemplar, ...]
    data_dir: str | None = field(default=None, metadata={"identity": False})
    pool: str = "train"
    validation: str | None = None
    validation_size: int | None = None
    test: str = "test"
    test_size: int | None = None
    split_seed: int = 0

    def __post_init__(self) -> None:
        if (self.validation is None) == (self.validation_size is None):
            raise ValueError("give either validation (a file) or validation_size (rows carved from the pool), not both")

    def load(self) -> Splits:
        """The splits. Raises DataError naming the file, and the line where there is one."""
        rows = _split(self)
        return Splits(rows["pool"], rows["validation"], TestSplit(rows["test"]))

    def fingerprint(self) -> str:
        """A hash of the rows of all splits."""
        return _content_hash(self)

    def path(self, split: str) -> Path:
        """The file of a split. Raises DataError where no data folder was given."""
        if self.data_dir is None:
            raise DataError(
                f"dataset={self.name} is read from a folder: give it as data_dir=PATH (PATH/{self.folder}/*.jsonl)"
            )
        return Path(self.data_dir) / self.folder / f"{split}.jsonl"


@lru_cache(maxsize=16)
def _split(dataset: JsonlDataset) -> Mapping[str, tuple[Example, ...]]:
    pool, test = (read_examples(dataset.path(name)) for name in (dataset.pool, dataset.test))
    if dataset.validation is not None:
        validation = read_examples(dataset.path(dataset.validation))
    else:
        size = dataset.validation_size or 0
        if not 0 < size < len(pool):
            raise DataError(
                f"dataset.validation_size={size} cannot be carved from {len(pool)} rows of {dataset.path(dataset.pool)}"
            )
        drawn = set(stream("validation", dataset.split_seed).permutation(len(pool))[:size].tolist())
        validation = tuple(row for i, row in enumerate(pool) if i in drawn)
        pool = tuple(row for i, row in enumerate(pool) if i not in drawn)
    if dataset.test_size is not None:
        if not 0 < dataset.test_size <= len(test):
            raise DataError(
                f"dataset.test_size={dataset.test_size}, but {dataset.path(dataset.test)} has {len(test)} rows"
            )
        test = test[: dataset.test_size]
    rows = {"pool": pool, "validation": validation, "test": test}
    _refuse_unusable_rows(dataset, rows)
    return rows


@lru_cache(maxsize=16)
def _content_hash(dataset: JsonlDataset) -> str:
    return content_hash(*_split(dataset).values())


def _refuse_unusable_rows(dataset: JsonlDataset, rows: Mapping[str, tuple[Example, ...]]) -> None:
    seen: dict[str, str] = {}
    asked: dict[str, str] = {}
    for split, examples in rows.items():
        for example in examples:
            if not dataset.task.is_correct(example, dataset.task.parse(example.without_gold(), example.answer)):
                raise DataError(
                    f"dataset={dataset.name}, {split}: the gold answer {example.answer!r} of {example.id!r} is none "
                    f"that task {dataset.task.name} can read"
                )
            if seen.setdefault(example.id, split) != split:
                raise DataError(f"dataset={dataset.name}: id {example.id!r} is in {seen[example.id]} and in {split}")
            shown = " ".join(dataset.task.show(example.without_gold()).split()).casefold()
            if asked.setdefault(shown, split) != split:
                raise DataError(
                    f"dataset={dataset.name}: the question {example.question!r} is in {asked[shown]} and in {split}"
                )


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file, line N`, object) for every line. Raises DataError for a missing, empty or malformed file."""
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob("*.jsonl")) if path.parent.is_dir() else []
        hint = f"{path.parent} holds {', '.join(there)}" if there else f"there is no data in {path.parent}"
        raise DataError(f"{path} does not exist; {hint}")
    empty = True
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            try:
                row = json.loads(line.decode())
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: not UTF-8") from error
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not a JSON object ({error.msg})") from error
            if not isinstance(row, dict):
                raise DataError(f"{where}: not a JSON object but {type(row).__name__}")
            empty = False
            yield where, row
    if empty:
        raise DataError(f"{path} is empty")


@lru_cache(maxsize=32)
def read_examples(path: Path) -> tuple[Example, ...]:
    """The examples of one file. Raises DataError naming the first line that is wrong, and how."""
    first_seen: dict[str, str] = {}
    examples = []
    for where, row in read_json_lines(path):
        example = _example(where, row)
        if example.id in first_seen:
            raise DataError(f"{where}: id {example.id!r} was already used in {first_seen[example.id]}")
        first_seen[example.id] = where
        examples.append(example)
    return tuple(examples)


def _example(where: str, row: Mapping[str, Any]) -> Example:
    for name in ("id", "question", "answer"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise DataError(f"{where}: {name!r} must be a text that is not empty, but is {row.get(name)!r}")
    choices = row.get("choices")
    if choices is not None:
        if not (isinstance(choices, list) and choices and all(isinstance(choice, str) for choice in choices)):
            raise DataError(f"{where}: 'choices' must be null or a list of texts, but is {choices!r}")
        if row["answer"] not in choices:
            raise DataError(f"{where}: answer {row['answer']!r} is not among the choices {choices}")
    return Example(
        id=row["id"],
        question=row["question"],
        answer=row["answer"],
        choices=None if choices is None else tuple(choices),
        rationale=row.get("rationale"),
        context=row.get("context"),
    )
