"""The columns of a table for people: what each one shows, where it is needed, and which eight decide."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.output.tables import Block, TableRow
from analysis.records.load import ResultsError

NO_VALUE = "-"
BOLD = "**"
"""Before and behind a bold cell, as in markdown."""
ALL = ("all",)
"""The choice of all columns that a block needs."""
DECIDING = ("method", "METRIC %", "gap closed %", "questions", "tokens", "USD", "tokens/answer", "seeds")
"""The columns of a table unless others are asked for: they fit a terminal of 120 characters."""

ShortIds = Mapping[str, str]


@dataclass(frozen=True)
class Column:
    """One column of a table for people."""

    name: str
    """Its name in `--columns`, and its heading; `METRIC` stands for the name of the block's metric."""
    show: Callable[[TableRow, ShortIds], str]
    """A row's cell as text."""
    needed: Callable[[Block], bool] = lambda _: True
    """Whether the block has anything to show in it."""


def shown_columns(block: Block, chosen: Sequence[str] = ALL) -> list[Column]:
    """The chosen columns of a block, in their fixed order; of `ALL`, the ones that it needs.

    Raises ResultsError for an unknown name.
    """
    unknown = [name for name in chosen if name not in {*ALL, *(column.name for column in COLUMNS)}]
    if unknown:
        names = [column.name for column in COLUMNS]
        near = difflib.get_close_matches(unknown[0], names, 1, 0.0)[0]
        raise ResultsError(f"there is no column {unknown[0]!r}; did you mean {near!r}? There are: {', '.join(names)}")
    if "all" in chosen:
        return [column for column in COLUMNS if column.needed(block)]
    return [column for column in COLUMNS if column.name in {"method", *chosen}]


def headings(block: Block, chosen: Sequence[str] = ALL) -> list[str]:
    """The headings of a block's columns."""
    return [column.name.replace("METRIC", block.key.metric) for column in shown_columns(block, chosen)]


def shown_rows(block: Block, short_ids: ShortIds, chosen: Sequence[str] = ALL) -> list[list[str]]:
    """The block's rows as text, in the order of `headings`."""
    columns = shown_columns(block, chosen)
    return [[column.show(row, short_ids) for column in columns] for row in block.rows]


# --- cells -----------------------------------------------------------------------------------------------------------


def _result(row: TableRow, _: ShortIds) -> str:
    if row.mean is None:
        return "not run"
    half_width = "" if row.high is None else f" ± {100 * (row.high - row.mean):.1f}"
    shown = f"{100 * row.mean:.1f}{half_width}"
    return f"{BOLD}{shown}{BOLD}" if row.is_best else shown


def _share(name: str) -> Callable[[TableRow, ShortIds], str]:
    """A share in percent."""

    def shown(row: TableRow, _: ShortIds) -> str:
        share = getattr(row, name)
        return NO_VALUE if share is None else f"{100 * share:.1f}"

    return shown


def _number(name: str) -> Callable[[TableRow, ShortIds], str]:
    return lambda row, _: number(getattr(row, name))


def _milliseconds(name: str) -> Callable[[TableRow, ShortIds], str]:
    """Seconds as milliseconds."""

    def shown(row: TableRow, _: ShortIds) -> str:
        seconds = getattr(row, name)
        return NO_VALUE if seconds is None else number(float(f"{1000 * seconds:.3g}"))

    return shown


def number(value: float | None, mark: str = "") -> str:
    """A number with thousands separated, without `.0`; a zero is never an estimate and gets no mark."""
    if value is None:
        return NO_VALUE
    return f"{mark if value else ''}{value:,.1f}".removesuffix(".0")


def _tokens(row: TableRow, _: ShortIds) -> str:
    if row.teacher_prompt_tokens is None or row.teacher_completion_tokens is None:
        return NO_VALUE
    return number(round(row.teacher_prompt_tokens + row.teacher_completion_tokens), _tilde(row))


def _usd(row: TableRow, _: ShortIds) -> str:
    if row.teacher_usd is None:
        return NO_VALUE if row.role == "teacher" or row.mean is None else "unknown"
    if 0 < row.teacher_usd < 0.01:
        return f"{_tilde(row)}{row.teacher_usd:.2g}"
    return f"{_tilde(row) if row.teacher_usd else ''}{row.teacher_usd:,.2f}"


def _tilde(row: TableRow) -> str:
    return "~" if row.cost_estimated else ""


def _human(row: TableRow, _: ShortIds) -> str:
    return number(row.human_questions) + (f" ({row.human_usd:,.2f} USD)" if row.human_usd else "")


def _per_answer(row: TableRow, _: ShortIds) -> str:
    return NO_VALUE if row.completion_tokens_per_answer is None else f"{row.completion_tokens_per_answer:.1f}"


def _rate(row: TableRow, _: ShortIds) -> str:
    if not row.seconds_per_answer or row.completion_tokens_per_answer is None:
        return NO_VALUE
    return number(round(row.completion_tokens_per_answer / row.seconds_per_answer))


def _seeds(row: TableRow, _: ShortIds) -> str:
    return NO_VALUE if row.num_seeds is None else str(row.num_seeds)


def _gold(row: TableRow, _: ShortIds) -> str:
    return NO_VALUE if row.uses_gold is None else "yes" if row.uses_gold else "no"


def _learning_rate(row: TableRow, _: ShortIds) -> str:
    return NO_VALUE if row.learning_rate is None else f"{row.learning_rate:g}"


def _records(row: TableRow, short_ids: ShortIds) -> str:
    """The short ids of the row's records; for the teacher's row, which many records repeat, only the first id."""
    ids = [short_ids[cell_id] for cell_id in row.record_ids.split()]
    if row.role == "teacher" and len(ids) > 1:
        return f"{ids[0]} and {len(ids) - 1} more"
    return " ".join(ids) or NO_VALUE


def _known(name: str) -> Callable[[Block], bool]:
    return lambda block: any(getattr(row, name) is not None for row in block.rows)


def _not_zero(name: str) -> Callable[[Block], bool]:
    return lambda block: any(getattr(row, name) for row in block.rows)


def _has_restarts(block: Block) -> bool:
    return any(row.student_steps is not None and row.student_steps != row.all_steps for row in block.rows)


COLUMNS = (
    Column("method", lambda row, _: row.name),
    Column("METRIC %", _result),
    Column("majority@k %", _share("majority_at_k"), _known("samples_per_question")),
    Column("pass@k %", _share("pass_at_k"), _known("samples_per_question")),
    Column("k", _number("samples_per_question"), _known("samples_per_question")),
    Column("gap closed %", _share("gap_closed")),
    Column("cut %", _share("cut_share"), _not_zero("cut_share")),
    Column("right reasoning %", _share("reasoning_accuracy"), _known("reasoning_accuracy")),
    Column("wrong behind right %", _share("right_answer_wrong_reasoning"), _known("reasoning_accuracy")),
    Column("questions", _number("teacher_questions")),
    Column("calls", _number("teacher_calls")),
    Column("tokens", _tokens),
    Column("USD", _usd),
    Column("human labels", _human),
    Column("dropped %", _share("dropped_share"), _not_zero("dropped_share")),
    Column("student steps", _number("student_steps"), _has_restarts),
    Column("all steps", _number("all_steps"), _has_restarts),
    Column("learning rate", _learning_rate, _known("learning_rate")),
    Column("tokens/answer", _per_answer),
    Column("tokens/s", _rate, _known("seconds_per_answer")),
    Column("p50 ms", _milliseconds("latency_p50_seconds"), _known("latency_p50_seconds")),
    Column("p95 ms", _milliseconds("latency_p95_seconds"), _known("latency_p95_seconds")),
    Column("seeds", _seeds),
    Column("gold", _gold),
    Column("records", _records),
)
"""All columns in their order."""
