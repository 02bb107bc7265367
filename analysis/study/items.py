"""What can be shown to people: explanations that students of finished cells wrote for the same test questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.explained import HOW_TO_EXPLAIN, explained_rows, is_missing
from analysis.records.load import UNTRAINED_METHOD, FinishedCell, Records, ResultsError
from analysis.statistics.grouping import Score, named_groups


@dataclass(frozen=True)
class Item:
    """One explanation, as a participant sees it, and where it comes from, which no participant sees."""

    method: str
    """The method whose student wrote it."""
    cell_id: str
    """The record of that student."""
    example_id: str
    """The test question that it explains."""
    question: str
    """The question's text."""
    context: str | None
    """The text that the question refers to; None if there is none."""
    choices: tuple[str, ...] | None
    """The options; None for a question without options."""
    answer: str | None
    """The student's answer; None if none could be read."""
    explanation: str
    """The student's explanation; may be empty."""


@dataclass(frozen=True)
class Material:
    """The explanations of several methods for the same questions: one item per method and question."""

    methods: tuple[str, ...]
    """The methods' names, in a fixed order."""
    questions: tuple[str, ...]
    """Ids of the test questions that every method explained."""
    items: Mapping[tuple[str, str], Item]
    """(method, question id) -> its item."""
    left_out: tuple[str, ...]
    """Cells without explanations, in words."""


def material(records: Records, student: str | None, seed: int, right_only: bool) -> Material:
    """One item per method and question; among a method's seeds, `seed` draws the student anew for each question.

    Args:
        records: the finished cells.
        student: the student to take; None where there is only one.
        seed: decides which of a method's students explains a question.
        right_only: leaves out questions that some method's student did not answer rightly.

    Raises:
        ResultsError: for no or one method with explanations, several students or datasets, or no shared question.
    """
    groups = _methods(records, student)
    read: dict[str, list[pd.DataFrame]] = {}
    left_out = []
    for name, cells in groups.items():
        frames = []
        for cell in cells:
            frame = explained_rows(cell.folder)
            if frame is not None:
                frames.append(frame.assign(cell_id=cell.names.cell_id))
            else:
                left_out.append(f"{name}, seed {cell.names.seed} ({cell.names.cell_id[:8]}) has no explanations")
        if frames:
            read[name] = frames
    if len(read) < 2:
        missing = f" ({'; '.join(left_out)}: {HOW_TO_EXPLAIN})" if left_out else ""
        raise ResultsError(f"a study compares at least two methods with explanations; there are {len(read)}{missing}")
    questions = _shared(read, right_only)
    generator = np.random.default_rng([seed, 1])
    items = {}
    for name, frames in read.items():
        for question in questions:
            frame = frames[generator.integers(len(frames))]
            items[name, question] = _item(name, question, frame.loc[question])
    return Material(tuple(read), tuple(questions), items, tuple(left_out))


def _methods(records: Records, student: str | None) -> dict[str, list[FinishedCell]]:
    students = sorted({cell.names.student for cell in records.complete})
    if student is not None and student not in students:
        raise ResultsError(f"there is no student {student!r}: {', '.join(students) or 'no finished cell'}")
    trained = [cell for cell in records.complete if cell.names.method != UNTRAINED_METHOD]  # a reference, no method
    cells = [cell for cell in trained if student in (None, cell.names.student)]
    _refuse_several("student", {cell.names.student for cell in cells}, "choose one with --student")
    _refuse_several("dataset", {cell.names.dataset for cell in cells}, "name a folder with one of them")
    groups = named_groups([Score(cell, cell.tests[0]) for cell in cells])
    return {name: [score.cell for score in group.scores] for name, group in groups}


def _refuse_several(what: str, found: set[str], remedy: str) -> None:
    if len(found) > 1:
        raise ResultsError(f"a study shows one {what}, and here are {', '.join(sorted(found))}: {remedy}")


def _shared(read: Mapping[str, Sequence[pd.DataFrame]], right_only: bool) -> list[str]:
    """Ids that all students explained, in the order of the first."""
    frames = [frame for frames in read.values() for frame in frames]
    kept = [set(frame.index[frame["correct"]] if right_only else frame.index) for frame in frames]
    shared = set.intersection(*kept)
    if not shared:
        why = "answered rightly and explained by" if right_only else "explained by"
        raise ResultsError(f"no test question was {why} the students of all methods ({', '.join(read)})")
    return [str(question) for question in frames[0].index if question in shared]


def _item(method: str, question: str, row: Any) -> Item:
    choices = row["choices"]
    return Item(
        method=method,
        cell_id=str(row["cell_id"]),
        example_id=question,
        question=str(row["question"]),
        context=None if is_missing(row["context"]) else str(row["context"]),
        choices=None if is_missing(choices) else tuple(str(choice) for choice in choices),
        answer=None if is_missing(row["answer"]) else str(row["answer"]),
        explanation=str(row["explanation"]),
    )
