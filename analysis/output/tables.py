"""The tidy table: one row of raw numbers per method and test set, reference rows included."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import pandas as pd

from analysis.output.notes import BEST_NOTE, BlockParts, interval_notes, notes_of
from analysis.records.frames import setting
from analysis.records.load import UNTRAINED_METHOD, FailedCell, FinishedCell, Records
from analysis.records.outcomes import OutcomeFiles
from analysis.records.record_ids import short_ids
from analysis.statistics.grouping import BlockKey, Group, blocks_of, distinct_names, group_scores, natural_order
from analysis.statistics.references import TEACHER_NAME, UNTRAINED_NAME, TeacherGroup, gap_closed, teacher_groups
from analysis.statistics.scores import best_beyond_doubt, group_score
from benchmark.records.schema import NOTHING, LabelPrecision, LedgerEntry, TestScore

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
    """One row of a table; its fields are the columns of the csv. None means "unknown" or "does not apply"."""

    dataset: str
    """The dataset that the student was trained on."""
    test_dataset: str
    """The dataset that the student was tested on."""
    metric: str
    """The name of the metric."""
    student: str
    """The student's name."""
    teacher: str | None
    """The teacher of the row's block; None if no method of the block asked one."""
    role: str
    """`untrained`, `teacher` or `method`."""
    name: str
    """The row's name in its block."""
    method: str | None = None
    """The method's name; None in the teacher's row."""
    mean: float | None = None
    """The mean of the metric over seeds, in [0, 1]; None if a reference was not run."""
    low: float | None = None
    """The lower end of its 95 % interval; None without an interval."""
    high: float | None = None
    """The upper end; None without an interval."""
    interval_over: str | None = None
    """What may change inside the interval: `seeds and questions`, `questions` (one seed), or `seeds` alone."""
    is_best: bool | None = None
    """Whether the method is better than each other method of the block beyond doubt; None for references."""
    gap_closed: float | None = None
    """The share of the gap between untrained student and teacher that the method closes; 1 is all of it."""
    cut_share: float | None = None
    """The share of answers that were cut at the cap of tokens and are not right, over all seeds, in [0, 1]."""
    reasoning_accuracy: float | None = None
    """The share of answers with right reasoning, in [0, 1]."""
    right_answer_wrong_reasoning: float | None = None
    """The share of right answers with wrong reasoning, in [0, 1]."""
    early_answer_change_now: float | None = None
    """How far answers depend on explanations: early answering, at once; in [0, 1]."""
    early_answer_change_finish: float | None = None
    """The same where the student may finish the explanation."""
    true_thinking_score: float | None = None
    """The mean True-Thinking Score of a step, in [0, 1]."""
    steps_below_0_03: float | None = None
    """The share of steps with a lower score than 0.03."""
    mistake_change: float | None = None
    """Adding mistakes: how often a mistake in a step changes the answer; in [0, 1]."""
    answer_follows_swap: float | None = None
    """How often the answer follows an explanation that argues for another choice, in [0, 1]."""
    label_precision_bought: float | None = None
    """The share of right ones among the bought answers, in [0, 1], mean per cell."""
    label_precision_kept: float | None = None
    """The share of right ones among those that the weighting kept, mean per cell."""
    judge_auroc: float | None = None
    """The AUROC of the confidence behind the weights, mean per cell; None where weights rest on none."""
    judge_ece: float | None = None
    """Its expected calibration error over 10 bins, mean per cell."""
    num_seeds: int | None = None
    """How many seeds the row averages."""
    seeds: str | None = None
    """The seeds, separated by spaces."""
    test_examples: int | None = None
    """The number of test questions."""
    dropped_share: float | None = None
    """The share of bought answers that the weighting dropped, in [0, 1], mean per cell; None without a teacher."""
    learning_rate: float | None = None
    """The learning rate of all seeds; None without training."""
    asked_teacher: bool | None = None
    """Whether the method asked a teacher."""
    teacher_questions: float | None = None
    """Questions charged to the teacher, mean per cell."""
    teacher_calls: float | None = None
    """Calls charged to the teacher, mean per cell."""
    teacher_prompt_tokens: float | None = None
    """Prompt tokens charged to the teacher, mean per cell."""
    teacher_completion_tokens: float | None = None
    """Completion tokens charged to the teacher, mean per cell."""
    teacher_usd: float | None = None
    """US dollars charged to the teacher, mean per cell, as if the cell had bought everything itself."""
    teacher_usd_spent: float | None = None
    """US dollars that the cell really paid for the teacher, mean per cell."""
    cost_estimated: bool | None = None
    """Whether any of these costs is an estimate."""
    human_questions: float | None = None
    """Questions with human labels, mean per cell."""
    human_usd: float | None = None
    """US dollars charged for human labels, mean per cell."""
    student_steps: float | None = None
    """Optimiser steps of the tested student, mean per cell; None in older records."""
    all_steps: float | None = None
    """Optimiser steps of all rounds, mean per cell."""
    completion_tokens_per_answer: float | None = None
    """Tokens that the student writes per test answer, reasoning included."""
    seconds_per_answer: float | None = None
    """Seconds that the student needs per test answer."""
    latency_p50_seconds: float | None = None
    """Median seconds from the start of a test answer's batch to its last token, mean per cell."""
    latency_p95_seconds: float | None = None
    """The seconds that 95 % of the test answers do not exceed, mean per cell."""
    samples_per_question: int | None = None
    """Sampled answers per test question, the k of the next two fields."""
    majority_at_k: float | None = None
    """The share of questions for which the majority of k sampled answers is right, in [0, 1]."""
    pass_at_k: float | None = None
    """The share of questions with a right answer among k sampled answers, in [0, 1]."""
    uses_gold: bool | None = None
    """Whether the method reads gold answers before training."""
    data_seed: int | None = None
    """The seed of purchases, which all seeds share."""
    budget_questions: int | None = None
    """The budget in questions."""
    budget_calls: int | None = None
    """The budget in calls to the teacher."""
    budget_tokens: int | None = None
    """The budget in tokens of prompts and completions."""
    budget_usd: float | None = None
    """The budget in US dollars."""
    record_ids: str = ""
    """The ids of the row's records, separated by spaces."""


@dataclass(frozen=True)
class Block:
    """Rows that may be compared with each other: references first, then methods by name."""

    key: BlockKey
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Table:
    """The results of all finished cells."""

    blocks: tuple[Block, ...]
    """The blocks of comparable rows."""
    notes: tuple[str, ...]
    """Footnotes that a reader must know."""
    failed: tuple[FailedCell, ...]
    """The cells that failed."""
    short_ids: Mapping[str, str]
    """Full id of each cell -> its short id."""

    @property
    def frame(self) -> pd.DataFrame:
        """All rows of all blocks as one data frame, with the fields of `TableRow` as columns."""
        rows = [asdict(row) for block in self.blocks for row in block.rows]
        frame = pd.DataFrame(rows, columns=[column.name for column in fields(TableRow)])
        return frame.astype(dict.fromkeys(INTEGER_COLUMNS, "Int64"))


def build_table(records: Records, files: OutcomeFiles | None = None) -> Table:
    """The table over all finished cells; the order of the records does not matter.

    `files` reads predictions for intervals over questions, and holds the problems with them afterwards.
    """
    files = OutcomeFiles() if files is None else files
    short = short_ids(records.cell_ids)
    parts = [
        BlockParts(key, group_scores(scores), teacher_groups(key, scores))
        for key, scores in blocks_of(records.complete).items()
    ]
    blocks = tuple(Block(part.key, tuple(_rows(part, files))) for part in parts)
    intervals = interval_notes({row.interval_over for block in blocks for row in block.rows})
    best = [BEST_NOTE] if any(row.is_best for block in blocks for row in block.rows) else []
    failed = sorted(records.failed, key=lambda cell: cell.names.cell_id)
    return Table(blocks, (*intervals, *best, *notes_of(parts)), tuple(failed), short)


def _rows(parts: BlockParts, files: OutcomeFiles) -> list[TableRow]:
    names = distinct_names([(_label(group), group.settings) for group in parts.groups])
    named = dict(zip(names, parts.groups, strict=True))
    best = best_beyond_doubt({n: group for n, group in named.items() if group.method != UNTRAINED_METHOD}, files)
    rows = [_method_row(parts, group, name, files, name == best) for name, group in named.items()]
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


def _method_row(parts: BlockParts, group: Group, name: str, files: OutcomeFiles, is_best: bool) -> TableRow:
    cells = [score.cell for score in group.scores]
    tests = [score.test for score in group.scores]
    interval = group_score(group, files)
    untrained = group.method == UNTRAINED_METHOD
    return TableRow(
        **asdict(parts.key),
        role="untrained" if untrained else "method",
        name=name,
        method=group.method,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        interval_over=interval.over,
        is_best=None if untrained else is_best,
        gap_closed=None if untrained else gap_closed(group, parts.untrained, parts.teachers),
        cut_share=group.cut_share,
        reasoning_accuracy=_mean([test.reasoning_accuracy for test in tests]),
        right_answer_wrong_reasoning=_mean([test.right_answer_wrong_reasoning for test in tests]),
        early_answer_change_now=_faithfulness(tests, "early_answer_change_now"),
        early_answer_change_finish=_faithfulness(tests, "early_answer_change_finish"),
        true_thinking_score=_faithfulness(tests, "true_thinking_score"),
        steps_below_0_03=_faithfulness(tests, "steps_below_0_03"),
        mistake_change=_faithfulness(tests, "mistake_change"),
        answer_follows_swap=_faithfulness(tests, "answer_follows_swap"),
        label_precision_bought=_mean([None if cell.labels is None else cell.labels.share_bought for cell in cells]),
        label_precision_kept=_mean([None if cell.labels is None else cell.labels.share_kept for cell in cells]),
        judge_auroc=_mean([None if cell.judge is None else cell.judge.auroc for cell in cells]),
        judge_ece=_mean([None if cell.judge is None else cell.judge.ece for cell in cells]),
        dropped_share=_mean([None if cell.labels is None else _dropped(cell.labels) for cell in cells]),
        learning_rate=None if untrained else setting(cells[0], "optimization.learning_rate"),
        num_seeds=interval.num_seeds,
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
        student_steps=_mean([cell.train.final_student_steps for cell in cells]),
        all_steps=_mean([cell.train.optimiser_steps for cell in cells]),
        completion_tokens_per_answer=_mean([test.completion_tokens_per_answer for test in tests]),
        seconds_per_answer=_mean([test.seconds_per_answer for test in tests]),
        latency_p50_seconds=_mean([test.latency_p50_seconds for test in tests]),
        latency_p95_seconds=_mean([test.latency_p95_seconds for test in tests]),
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


def _dropped(labels: LabelPrecision) -> float:
    return 1 - labels.kept / labels.bought if labels.bought else 0.0


def _mean_cost(
    cells: Sequence[FinishedCell], source: str, amount: Callable[[LedgerEntry], float | None]
) -> float | None:
    return _mean([amount(cell.charged.get(source, NOTHING)) for cell in cells])


def _faithfulness(tests: Sequence[TestScore], name: str) -> float | None:
    return _mean([getattr(test.faithfulness, name, None) for test in tests])


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of the values is unknown."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
