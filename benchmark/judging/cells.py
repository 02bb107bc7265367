"""Two finished cells, and the test questions that the students of both have explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow.parquet

from benchmark.config import build
from benchmark.errors import ConfigError
from benchmark.records.catalog import EXPLANATIONS, finished_record
from benchmark.records.schema import CompleteRecord
from benchmark.tasks.dataset import Dataset, tested_examples
from benchmark.types import Question


@dataclass(frozen=True)
class Explained:
    """What one student said about one question."""

    answer: str | None
    """Its answer in the test; None if there is none."""
    explanation: str
    """Its explanation."""
    words: int
    """How many words the explanation has."""


@dataclass(frozen=True)
class ExplainedCell:
    """A finished cell whose student has explained test questions."""

    folder: Path
    """The cell's folder."""
    record: CompleteRecord
    """Its record."""
    dataset: Dataset
    """Its dataset."""
    explained: Mapping[str, Explained]
    """Id of a test question -> what the student said, in the order of the test."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Reads a cell's folder. Raises ConfigError for a folder without a finished cell or without explanations."""
        record = finished_record(folder)
        place = folder / EXPLANATIONS
        if not place.is_file():
            raise ConfigError(f"{folder} has no {EXPLANATIONS}; make it with: python -m benchmark explain {folder}")
        return cls(folder, record, build(record.config["dataset"], "dataset", Dataset), _explained(place))

    def questions(self, ids: Sequence[str]) -> list[Question]:
        """The test questions with these ids, without gold. Raises DataError if the dataset has lost one of them."""
        return [row.without_gold() for row in tested_examples(self.dataset, ids, self.folder)]


@dataclass(frozen=True)
class SharedQuestion:
    """A test question that both students have explained."""

    question: Question
    first: Explained
    second: Explained

    @property
    def is_identical(self) -> bool:
        """Whether answer and explanation are the same, word for word, so that there is nothing to compare."""
        return self.first == self.second


@dataclass(frozen=True)
class Pair:
    """Two cells that are compared."""

    first: ExplainedCell
    second: ExplainedCell
    questions: tuple[SharedQuestion, ...]
    """What both have explained, in the order of the first cell's test."""
    explained_once: int
    """How many questions only one of the two has explained; they are left out."""

    @classmethod
    def of(cls, one: Path, other: Path, most: int | None) -> Self:
        """Reads two folders; `most` limits the number of questions.

        Raises ConfigError if a folder cannot be judged, both hold one cell, or they share no questions.
        """
        first, second = ExplainedCell.of(one), ExplainedCell.of(other)
        if first.record.cell_id == second.record.cell_id:
            raise ConfigError(f"{one} and {other} are the same cell, {first.record.cell_id}; give two different ones")
        if first.dataset.name != second.dataset.name:
            raise ConfigError(
                f"{one} is about {first.dataset.name} and {other} about {second.dataset.name}; give two cells of one "
                "dataset"
            )
        common = [each for each in first.explained if each in second.explained]
        if not common:
            raise ConfigError(
                f"{one} and {other} have explained no common question; delete {EXPLANATIONS} in one of them and make "
                f"it again with python -m benchmark explain, so that both begin with the same questions"
            )
        once = len(first.explained) + len(second.explained) - 2 * len(common)
        return cls(first, second, tuple(_shared(first, second, common[:most])), once)


def _shared(first: ExplainedCell, second: ExplainedCell, ids: Sequence[str]) -> list[SharedQuestion]:
    questions = first.questions(ids)
    if first.dataset != second.dataset:
        for one, other in zip(questions, second.questions(ids), strict=True):
            if one != other:
                raise ConfigError(
                    f"the test question {one.id!r} is not the same in {first.folder} and {second.folder}: their "
                    f"{first.dataset.name} have other settings; give two cells that were tested on the same questions"
                )
    return [SharedQuestion(each, first.explained[each.id], second.explained[each.id]) for each in questions]


def _explained(place: Path) -> dict[str, Explained]:
    try:
        rows = pyarrow.parquet.read_table(place, columns=["example_id", "answer", "explanation", "words"]).to_pylist()
        return {row["example_id"]: Explained(row["answer"], row["explanation"], row["words"]) for row in rows}
    except (OSError, ValueError, KeyError) as error:
        why = str(error).splitlines()[0]
        raise ConfigError(
            f"{place} cannot be read ({why}); delete it and make it with: python -m benchmark explain {place.parent}"
        ) from error
