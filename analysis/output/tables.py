"""The tidy table: one row of raw numbers per method and test set, reference rows included."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import pandas as pd

from analysis.output.notes import BlockParts, notes_of
from analysis.records.load import UNTRAINED_METHOD, FailedCell, FinishedCell, Records
from analysis.records.record_ids import short_ids
from analysis.statistics.grouping import BlockKey, Group, blocks_of, distinct_names, group_scores, natural_order
from analysis.statistics.intervals import mean_with_t_interval
from analysis.statistics.references import TEACHER_NAME, UNTRAINED_NAME, TeacherGroup, gap_closed, teacher_groups
from benchmark.records.schema import NOTHING, LedgerEntry

INTEGER_COLUMNS = (
    "num_seeds",
    "test_examples",
    "data_seed",
    "budget_questions",
    "budget_calls",
    "budget_tokens",
    "samples_per_question",
)


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row; its fields are the columns of the csv. Fractions are in [0, 1], costs are means per cell.

    `role` is untrained, teacher or method. `mean` is None where a reference was not run. k in `majority_at_k` and
    `pass_at_k` is `samples_per_question`. Ids and seeds are separated by spaces.
    """

    dataset: str
    test_dataset: str
    metric: str
    student: str
    teacher: str | None
    role: str
    name: str
    method: str | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    gap_closed: float | None = None
    reasoning_accuracy: float | None = None
    right_answer_wrong_reasoning: float | None = None
    num_seeds: int | None = None
    seeds: str | None = None
    test_examples: int | None = None
    asked_teacher: bool | None = None
    teacher_questions: float | None = None
    teacher_calls: float | None = None
    teacher_prompt_tokens: float | None = None
    teacher_completion_tokens: float | None = None
    teacher_usd: float | None = None
    teacher_usd_spent: float | None = None
    cost_estimated: bool | None = None
    human_questions: float | None = None
    human_usd: float | None = None
    completion_tokens_per_answer: float | None = None
    seconds_per_answer: float | None = None
    samples_per_question: int | None = None
    majority_at_k: float | None = None
    pass_at_k: float | None = None
    uses_gold: bool | None = None
    data_seed: int | None = None
    budget_questions: int | None = None
    budget_calls: int | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    record_ids: str = ""


@dataclass(frozen=True)
class Block:
    """The rows that are compared with each other: references first, then the methods by name."""

    key: BlockKey
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Table:
    """All blocks, what a reader must know to read them, and the cells that failed."""

    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    failed: tuple[FailedCell, ...]
    short_ids: Mapping[str, str]

    @property
    def frame(self) -> pd.DataFrame:
        """All rows as one tidy frame."""
        rows = [asdict(row) for block in self.blocks for row in block.rows]
        frame = pd.DataFrame(rows, columns=[column.name for column in fields(TableRow)])
        return frame.astype(dict.fromkeys(INTEGER_COLUMNS, "Int64"))


def build_table(records: Records) -> Table:
    """The table over all finished cells; the order of the records does not matter."""
    short = short_ids(records.cell_ids)
    parts = [
        BlockParts(key, group_scores(scores), teacher_groups(key, scores))
        for key, scores in blocks_of(records.complete).items()
    ]
    blocks = tuple(Block(part.key, tuple(_rows(part))) for part in parts)
    failed = sorted(records.failed, key=lambda cell: cell.names.cell_id)
    return Table(blocks, tuple(notes_of(parts)), tuple(failed), short)


def _rows(parts: BlockParts) -> list[TableRow]:
    names = distinct_names([(_label(group), group.settings) for group in parts.groups])
    rows = [_method_row(parts, group, name) for group, name in zip(parts.groups, names, strict=True)]
    rows.sort(key=lambda row: natural_order(row.name))
    untrained = [row for row in rows if row.role == "untrained"] or [_not_run(parts.key, "untrained", UNTRAINED_NAME)]
    teachers = _teacher_rows(parts) or [_not_run(parts.key, "teacher", TEACHER_NAME)]
    return untrained + teachers + [row for row in rows if row.role == "method"]


def _label(group: Group) -> str:
    return UNTRAINED_NAME if group.method == UNTRAINED_METHOD else group.method


def _not_run(key: BlockKey, role: str, name: str) -> TableRow:
    return TableRow(**asdict(key), role=role, name=name)


def _teacher_rows(parts: BlockParts) -> list[TableRow]:
    names = distinct_names([(group.label, group.naming_settings) for group in parts.teachers])
    rows = [_teacher_row(parts.key, group, name) for group, name in zip(parts.teachers, names, strict=True)]
    return sorted(rows, key=lambda row: natural_order(row.name))


def _teacher_row(key: BlockKey, group: TeacherGroup, name: str) -> TableRow:
    ids = " ".join(group.cell_ids)
    size = group.num_examples
    return TableRow(**asdict(key), role="teacher", name=name, mean=group.mean, test_examples=size, record_ids=ids)


def _method_row(parts: BlockParts, group: Group, name: str) -> TableRow:
    cells = [score.cell for score in group.scores]
    tests = [score.test for score in group.scores]
    interval = mean_with_t_interval([test.value for test in tests])
    untrained = group.method == UNTRAINED_METHOD
    return TableRow(
        **asdict(parts.key),
        role="untrained" if untrained else "method",
        name=name,
        method=group.method,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        gap_closed=None if untrained else gap_closed(group, parts.untrained, parts.teachers),
        reasoning_accuracy=_mean([test.reasoning_accuracy for test in tests]),
        right_answer_wrong_reasoning=_mean([test.right_answer_wrong_reasoning for test in tests]),
        num_seeds=interval.num_values,
        seeds=" ".join(str(cell.names.seed) for cell in cells),
        test_examples=tests[0].n,
        asked_teacher=cells[0].names.teacher is not None,
        teacher_questions=_mean_cost(cells, "teacher", lambda entry: entry.questions),
        teacher_calls=_mean_cost(cells, "teacher", lambda entry: entry.calls),
        teacher_prompt_tokens=_mean_cost(cells, "teacher", lambda entry: entry.prompt_tokens),
        teacher_completion_tokens=_mean_cost(cells, "teacher", lambda entry: entry.completion_tokens),
        teacher_usd=_mean_cost(cells, "teacher", lambda entry: entry.usd),
        teacher_usd_spent=_mean([cell.spent.get("teacher", NOTHING).usd for cell in cells]),
        cost_estimated=any(cell.cost_estimated for cell in cells),
        human_questions=_mean_cost(cells, "human", lambda entry: entry.questions),
        human_usd=_mean_cost(cells, "human", lambda entry: entry.usd),
        completion_tokens_per_answer=_mean([test.completion_tokens_per_answer for test in tests]),
        seconds_per_answer=_mean([test.seconds_per_answer for test in tests]),
        samples_per_question=tests[0].samples_per_question,
        majority_at_k=_mean([test.majority_at_k for test in tests]),
        pass_at_k=_mean([test.pass_at_k for test in tests]),
        uses_gold=any(cell.uses_gold for cell in cells),
        data_seed=None if untrained else cells[0].data_seed,
        budget_questions=None if untrained else cells[0].budget.questions,
        budget_calls=None if untrained else cells[0].budget.calls,
        budget_tokens=None if untrained else cells[0].budget.tokens,
        budget_usd=None if untrained else cells[0].budget.usd,
        record_ids=" ".join(cell.names.cell_id for cell in cells),
    )


def _mean_cost(
    cells: Sequence[FinishedCell], source: str, amount: Callable[[LedgerEntry], float | None]
) -> float | None:
    return _mean([amount(cell.charged.get(source, NOTHING)) for cell in cells])


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None where one of the values is not known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
