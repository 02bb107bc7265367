"""Datasets in files of JSON lines, `<data_dir>/<folder>/{train,validation,test}.jsonl`, or on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.contract import Task
from benchmark.errors import DataError
from benchmark.random_streams import stream
from benchmark.tasks.dataset import Exemplar, Splits, TestSplit, content_hash, folded, refuse_unreadable_gold
from benchmark.tasks.guard import refuse_test
from benchmark.tasks.hub import HubSource
from benchmark.tasks.json_lines import read_json_lines
from benchmark.tasks.rows import Fields
from benchmark.types import Example


@dataclass(frozen=True)
class JsonlDataset:
    """Rows `id, question, choices, answer, rationale[, context]` from JSON lines in `data_dir`, or from the hub.

    Drawn rows with equal questions go to the same split; equal questions in two given files raise DataError.
    """

    name: str
    """The name in tables."""
    folder: str
    """The dataset's folder inside `data_dir`."""
    task: Task
    """How questions are shown and answers read."""
    exemplars: tuple[Exemplar, ...]
    """Worked examples for the teacher's few-shot prompts."""
    data_dir: str | None = field(default=None, metadata={"identity": False})
    """The folder of all datasets; null reads from the hub."""
    hub: HubSource | None = field(default=None, metadata={"identity": False})
    """The dataset on the hub; used only if `data_dir` is null."""
    pool: str = "train"
    """The file (without `.jsonl`) or split of the hub that holds the pool."""
    validation: str | None = None
    """The file or split that holds the validation rows; null draws them from the pool."""
    validation_size: int | None = None
    """How many validation rows are drawn from the pool, with `split_seed`; null if `validation` is given."""
    test: str | None = "test"
    """The file or split that holds the test rows; null draws them from the pool."""
    test_size: int | None = None
    """With `test`: only that many first rows; null takes all.

    Without `test`: how many rows are drawn from the pool, the same for every `split_seed`.
    """
    together: str | None = None
    """A regular expression with one group; questions with the same text in that group belong together (same premise).

    They go to the same split. Rows of pool and validation that belong together with test rows are left out, and so are
    rows of the pool that belong together with validation rows. Null: only equal questions belong together.
    """
    split_seed: int = 0
    """The seed with which validation rows are drawn."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the data."""

    def __post_init__(self) -> None:
        if (self.validation is None) == (self.validation_size is None):
            raise ValueError("give either validation (a file) or validation_size (rows drawn from the pool), not both")
        if self.test is None and self.test_size is None:
            raise ValueError("give test (a file) or test_size (rows drawn from the pool)")
        if self.together is not None and _groups_of(self.together) != 1:
            raise ValueError(f"together={self.together!r} must be a regular expression with one group")

    def load(self) -> Splits:
        """The splits. Raises DataError that names the file, and the wrong line if there is one."""
        rows, left_out = _split(self)
        return Splits(rows["pool"], rows["validation"], TestSplit(rows["test"]), left_out)

    def fingerprint(self) -> str:
        """A hash of the rows of all splits."""
        return _content_hash(self)

    def path(self, split: str) -> Path:
        """The file of a split. Raises DataError if no data folder was given."""
        if self.data_dir is None:
            raise DataError(
                f"dataset={self.name} is read from a folder: give it as data_dir=PATH (PATH/{self.folder}/*.jsonl)"
            )
        return Path(self.data_dir) / self.folder / f"{split}.jsonl"

    def read(self, split: str) -> tuple[Example, ...]:
        """The rows of a split: from its file, or from the hub if no data folder was given.

        Raises LeakError while a part of a cell runs.
        """
        refuse_test(f"read the rows of {self.name}, which may be test rows")
        return _examples(_rows_of(self, split))


@dataclass(frozen=True)
class _Row:
    """An example and its place, which refusals name: `FILE, line N`, or its row on the hub."""

    where: str
    example: Example


def _groups_of(expression: str) -> int:
    try:
        return re.compile(expression).groups
    except re.error as error:
        raise ValueError(f"together={expression!r} is not a regular expression ({error})") from error


def _rows_of(dataset: JsonlDataset, split: str) -> tuple[_Row, ...]:
    if dataset.data_dir is None and dataset.hub is not None:
        return _typed(dataset.hub.rows(split))
    return _read(dataset.path(split))


@lru_cache(maxsize=16)
def _split(dataset: JsonlDataset) -> tuple[Mapping[str, tuple[Example, ...]], int]:
    """(the rows of each split, how many were left out)."""
    pool = _rows_of(dataset, dataset.pool)
    if dataset.test is None:
        pool, test = _carved(dataset, pool, "test", stream("test"))
    else:
        test = _first_rows(dataset, _rows_of(dataset, dataset.test))
    pool, left_out = _apart(dataset, pool, test)
    if dataset.validation is None:
        pool, validation = _carved(dataset, pool, "validation", stream("validation", dataset.split_seed))
    else:
        validation, beside_test = _apart(dataset, _rows_of(dataset, dataset.validation), test)
        pool, beside_validation = _apart(dataset, pool, validation)
        left_out += beside_test + beside_validation
    rows = {"pool": pool, "validation": validation, "test": test}
    _refuse_unusable_rows(dataset, rows)
    return {split: _examples(of_split) for split, of_split in rows.items()}, left_out


def _first_rows(dataset: JsonlDataset, test: tuple[_Row, ...]) -> tuple[_Row, ...]:
    if dataset.test_size is not None and not 0 < dataset.test_size <= len(test):
        raise DataError(
            f"dataset.test_size={dataset.test_size}, but {dataset.folder}/{dataset.test} has {len(test)} rows"
        )
    return test[: dataset.test_size]


def _carved(
    dataset: JsonlDataset, rows: tuple[_Row, ...], split: str, generator: np.random.Generator
) -> tuple[tuple[_Row, ...], tuple[_Row, ...]]:
    """(rows left, rows drawn). Draws whole groups in random order, as many as fit into the size of the split.

    The rows of a smaller size are a subset of the rows of a larger size.
    """
    size = getattr(dataset, f"{split}_size")
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(_group(dataset, row), []).append(i)
    members, drawn = list(groups.values()), set[int]()
    for group in generator.permutation(len(members)).tolist():
        if len(drawn) + len(members[group]) > size:
            break
        drawn.update(members[group])
    if not 0 < len(drawn) < len(rows):
        raise DataError(
            f"dataset.{split}_size={size} cannot be drawn from {len(rows)} rows of {dataset.folder}/{dataset.pool}"
        )
    left = tuple(row for i, row in enumerate(rows) if i not in drawn)
    return left, tuple(row for i, row in enumerate(rows) if i in drawn)


def _apart(dataset: JsonlDataset, rows: tuple[_Row, ...], other: tuple[_Row, ...]) -> tuple[tuple[_Row, ...], int]:
    """(rows without a group in the other split, number of rows left out); all rows if `together` is null."""
    if dataset.together is None:
        return rows, 0
    taken = {_group(dataset, row) for row in other}
    kept = tuple(row for row in rows if _group(dataset, row) not in taken)
    return kept, len(rows) - len(kept)


def _group(dataset: JsonlDataset, row: _Row) -> str:
    """The row's group: rows of one group go to the same split. By default equal questions are a group."""
    if dataset.together is None:
        return _shown(dataset, row)
    match = re.search(dataset.together, row.example.question)
    if match is None:
        raise DataError(f"dataset.together={dataset.together!r} finds nothing in the question of {row.example.id!r}")
    return folded(match[1])


def _shown(dataset: JsonlDataset, row: _Row) -> str:
    try:
        return folded(dataset.task.show(row.example.without_gold()))
    except ValueError as error:
        raise DataError(f"{row.where}: {error}") from error


@lru_cache(maxsize=16)
def _content_hash(dataset: JsonlDataset) -> str:
    return content_hash(*_split(dataset)[0].values())


def _refuse_unusable_rows(dataset: JsonlDataset, rows: Mapping[str, tuple[_Row, ...]]) -> None:
    seen: dict[str, str] = {}
    asked: dict[str, str] = {}
    for split, of_split in rows.items():
        for row in of_split:
            example = row.example
            refuse_unreadable_gold(f"{row.where}: dataset={dataset.name}, {split}", dataset.task, example)
            if seen.setdefault(example.id, split) != split:
                raise DataError(f"dataset={dataset.name}: id {example.id!r} is in {seen[example.id]} and in {split}")
            shown = _shown(dataset, row)
            if asked.setdefault(shown, split) != split:
                raise DataError(
                    f"dataset={dataset.name}: the question {example.question!r} is in {asked[shown]} and in {split}"
                )


@lru_cache(maxsize=32)
def _read(path: Path) -> tuple[_Row, ...]:
    return _typed(read_json_lines(path))


def read_examples(path: Path) -> tuple[Example, ...]:
    """The examples of one file. Raises DataError that names the first wrong line and what is wrong.

    Raises LeakError while a part of a cell runs.
    """
    refuse_test(f"read the rows of {path.name}, which may be test rows")
    return _examples(_read(path))


def _typed(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[_Row, ...]:
    first_seen: dict[str, str] = {}
    found = []
    for where, values in rows:
        example = _example(Fields(where, values))
        if example.id in first_seen:
            raise DataError(f"{where}: id {example.id!r} was already used in {first_seen[example.id]}")
        first_seen[example.id] = where
        found.append(_Row(where, example))
    return tuple(found)


def _example(fields: Fields) -> Example:
    key, question, options = fields.id(), fields.question(), fields.options()
    return Example(
        id=key,
        question=question,
        answer=fields.gold_answer(options),
        choices=options.texts if options else None,
        rationale=fields.rationale(),
        context=fields.optional_text("context"),
    )


def _examples(rows: Iterable[_Row]) -> tuple[Example, ...]:
    return tuple(row.example for row in rows)
