"""Questions of the test with what each method's student wrote: few, chosen without chance, one seed per method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.output.render import block_title
from analysis.output.report.parts import listed
from analysis.output.tables import Block, Table, TableRow
from analysis.records.explained import EXPLANATIONS, explanations_in, is_missing
from analysis.records.frames import TableError, read_parquet
from analysis.records.load import FinishedCell, Problem
from analysis.statistics.disagreement import chosen_questions

MOST_QUESTIONS = 60
"""So many questions are on a page, in all blocks together."""
FEWEST_PER_BLOCK = 3
MOST_METHODS = 12
"""So many methods answer each of them; of more, the ones with the highest results."""
MOST_CHARACTERS = 1500
"""A longer text is cut, and says so."""
PREDICTIONS = "predictions.parquet"
NEEDED = ("example_id", "prompt", "rationale", "answer", "gold", "correct")
RESULTS = {
    "right": "right",
    "wrong": "wrong",
    "truncated": "cut at the cap of tokens, not right",
    "unread": "no answer could be read",
}
"""Outcome of a prediction -> what the page calls it."""


@dataclass(frozen=True)
class ShownAnswer:
    """What one method's student wrote to one question."""

    method: str
    """The method's name in its table."""
    seed: int
    """The student's seed."""
    record: str
    """The short id of its record."""
    result: str
    """`right`, `wrong` (also where nothing could be read) or `graded`."""
    words: str
    """The result in words."""
    answer: str
    """The answer; empty where none could be read."""
    rationale: str
    """Its reasoning, or its explanation after the test; empty where it wrote neither."""
    is_explanation: bool
    """Whether `rationale` was asked for after the test, and so did not lead to the answer."""


@dataclass(frozen=True)
class ShownQuestion:
    """One question of a test set."""

    block: str
    """The title of the table that the methods stand in."""
    example_id: str
    """Its id in the dataset."""
    text: str
    """Context and question, or the shortest prompt in which a student read it."""
    choices: str
    """Its choices in one line; empty without choices."""
    gold: str
    """The right answer."""
    is_disputed: bool
    """Whether it was chosen because methods disagree; else it was drawn evenly from the others."""
    answers: tuple[ShownAnswer, ...]
    """One per method."""

    @property
    def agreement(self) -> str:
        """`right` or `wrong` where all methods are, `graded`, or `disagree`."""
        found = {answer.result for answer in self.answers}
        return found.pop() if len(found) == 1 else "disagree"

    @property
    def summary(self) -> str:
        """How many methods are right."""
        if self.agreement == "graded":
            return "graded"
        return f"{sum(answer.result == 'right' for answer in self.answers)} of {len(self.answers)} right"


@dataclass(frozen=True)
class Examples:
    """The chosen questions, what a reader must know of the choice, and the files that could not be read."""

    questions: tuple[ShownQuestion, ...] = ()
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Student:
    """One cell of a method, with its predictions by the question's id."""

    row: TableRow
    cell: FinishedCell
    predictions: pd.DataFrame


def examples_of(table: Table, cells: Mapping[str, FinishedCell]) -> Examples:
    """The examples of all blocks whose test set is the dataset's own."""
    blocks = [block for block in table.blocks if block.key.test_dataset == block.key.dataset]
    per_block = max(FEWEST_PER_BLOCK, MOST_QUESTIONS // max(1, len(blocks)))
    shown = blocks[: MOST_QUESTIONS // per_block]
    found = [_block_examples(block, cells, table.short_ids, per_block) for block in shown]
    gaps = [gap for each in found for gap in each.gaps]
    if others := [block_title(block) for block in blocks[len(shown) :]]:
        gaps.append(f"So many tables have no examples here, to keep the page small: {listed(others, separator='; ')}.")
    return Examples(
        tuple(question for each in found for question in each.questions),
        tuple(note for each in found for note in each.notes),
        tuple(gaps),
        tuple(dict.fromkeys(problem for each in found for problem in each.problems)),
    )


def _block_examples(
    block: Block, cells: Mapping[str, FinishedCell], short_ids: Mapping[str, str], most: int
) -> Examples:
    title = block_title(block)
    students, gaps, problems = _students(block, cells)
    shared = _shared_questions(students)
    if not shared:
        gaps.append(f"{title}: no question has predictions of its methods, so there is no example.")
        return Examples(gaps=tuple(gaps), problems=tuple(problems))
    of_students = [_results(each.predictions) for each in students]
    results = {question: [found[question] for found in of_students] for question in shared}
    disputed, drawn = chosen_questions(results, most)
    explained = {each.cell.names.cell_id: _explanations(each.cell) for each in students}
    questions = tuple(
        _question(title, question, question in set(disputed), students, explained, short_ids)
        for question in (*disputed, *drawn)
    )
    seeds = sorted({each.cell.names.seed for each in students})
    note = (
        f"{title}: {len(disputed)} questions on which methods disagree most, and {len(drawn)} drawn evenly from the "
        f"other {len(shared) - len(disputed):,}; students of seed {listed([str(seed) for seed in seeds])}."
    )
    return Examples(questions, (note,), tuple(gaps), tuple(problems))


def _students(block: Block, cells: Mapping[str, FinishedCell]) -> tuple[list[_Student], list[str], list[Problem]]:
    """(one student per method with predictions, sentences on methods without, the files that could not be read)."""
    rows = [row for row in block.rows if row.role == "method"]
    kept = sorted(rows, key=lambda row: -(row.mean or 0.0))[:MOST_METHODS]
    gaps, problems, students = [], [], []
    if len(rows) > len(kept):
        gaps.append(f"{block_title(block)}: the {len(kept)} methods with the highest results of {len(rows)} are shown.")
    for row, cell in _one_seed([row for row in rows if row in kept], cells):
        path = cell.folder / PREDICTIONS
        if not path.is_file():
            gaps.append(f"{row.name}, seed {cell.names.seed}: {path} is not there.")
            continue
        try:
            students.append(_Student(row, cell, _predictions(read_parquet(path))))
        except TableError as error:
            problems.append(Problem(path, str(error)))
            gaps.append(f"{row.name}, seed {cell.names.seed}: {path} cannot be used, so its answers are not shown.")
    return students, gaps, problems


def _one_seed(rows: Sequence[TableRow], cells: Mapping[str, FinishedCell]) -> list[tuple[TableRow, FinishedCell]]:
    """Each row with one of its cells: of the seed that most rows have, else of its lowest one."""
    of_rows = [(row, [cells[cell_id] for cell_id in row.record_ids.split()]) for row in rows]
    counts = Counter(seed for _, found in of_rows for seed in {cell.names.seed for cell in found})
    usual = min(counts, key=lambda seed: (-counts[seed], seed), default=None)
    return [(row, min(found, key=lambda cell: (cell.names.seed != usual, cell.names.seed))) for row, found in of_rows]


def _predictions(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows by the question's id. Raises TableError for a file that lacks a column."""
    lacking = [name for name in NEEDED if name not in frame.columns]
    if lacking:
        raise TableError(f"has no column {lacking[0]!r}; run the cell again, or move its folder away")
    return frame.drop_duplicates("example_id").set_index("example_id", drop=False)


def _shared_questions(students: Sequence[_Student]) -> list[str]:
    """The questions that all students answered; they have one test set, so as a rule all."""
    if not students:
        return []
    ids = set.intersection(*({str(name) for name in each.predictions.index} for each in students))
    return [str(name) for name in students[0].predictions.index if str(name) in ids]


def _results(predictions: pd.DataFrame) -> dict[str, float]:
    """Id of a question -> 1 for right, 0 for not right, or the grade, in [0, 1]."""
    right, grades = (
        predictions["correct"].astype(float),
        pd.to_numeric(predictions.get("grade", pd.Series(dtype=float))),
    )
    return {str(name): float(value) for name, value in grades.reindex(right.index).fillna(right).items()}


def _explanations(cell: FinishedCell) -> pd.DataFrame | None:
    """The cell's explanations; None without any, and where the file is damaged, which another section names."""
    path = cell.folder / EXPLANATIONS
    try:
        return explanations_in(path) if path.is_file() else None
    except TableError:
        return None


def _question(
    title: str,
    question: str,
    is_disputed: bool,
    students: Sequence[_Student],
    explained: Mapping[str, pd.DataFrame | None],
    short_ids: Mapping[str, str],
) -> ShownQuestion:
    found = [frame.loc[question] for frame in explained.values() if frame is not None and question in frame.index]
    rows = [each.predictions.loc[question] for each in students]
    asked = min((str(row["prompt"]) for row in rows), key=len)
    choices = ""
    if found:
        asked = "\n".join(str(found[0][name]) for name in ("context", "question") if not is_missing(found[0][name]))
        choices = "" if is_missing(found[0]["choices"]) else ", ".join(map(str, found[0]["choices"]))
    answers = tuple(_answer(each, question, explained[each.cell.names.cell_id], short_ids) for each in students)
    return ShownQuestion(title, question, cut(asked), choices, cut(str(rows[0]["gold"])), is_disputed, answers)


def _answer(
    student: _Student, question: str, explained: pd.DataFrame | None, short_ids: Mapping[str, str]
) -> ShownAnswer:
    row, who = student.predictions.loc[question], student.cell.names
    rationale = "" if is_missing(row["rationale"]) else str(row["rationale"]).strip()
    explains = not rationale and explained is not None and question in explained.index
    if explains and explained is not None:
        rationale = str(explained.loc[question, "explanation"]).strip()
    grade: Any = row.get("grade")
    outcome = "right" if row["correct"] else "wrong" if is_missing(row.get("outcome")) else str(row["outcome"])
    return ShownAnswer(
        method=student.row.name,
        seed=who.seed,
        record=short_ids[who.cell_id],
        result="graded" if not is_missing(grade) else "right" if outcome == "right" else "wrong",
        words=RESULTS.get(outcome, outcome) if is_missing(grade) else f"grade {float(grade):.3f}",
        answer="" if is_missing(row["answer"]) else cut(str(row["answer"])),
        rationale=cut(rationale),
        is_explanation=explains,
    )


def cut(text: str) -> str:
    """The text, or its beginning with the number of all its characters."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}… (cut here; {len(text):,} characters in all)"
