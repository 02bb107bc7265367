"""The table that `mode=annotate` prints: per cell what was bought, what the store held, and what must wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.buying.reply_counts import ReplyCounts
from benchmark.cell.names import Names
from benchmark.console.markdown_table import markdown_table, number, usd
from benchmark.types import Json

if TYPE_CHECKING:
    from benchmark.running.annotate_ahead import AnnotatedAhead

COLUMNS = ("method", "dataset", "student", "seed", "varied", "state", "questions", "bought", "held", "tokens", "USD")
TEXT_COLUMNS = frozenset({"method", "dataset", "student", "varied", "state"})
LEGEND = (
    "bought, held: calls paid for now, and calls whose replies cost nothing since the store held them; those for the "
    "teacher's own accuracy at test are among them"
)
UNKEPT = "replies are kept by no store, and a run asks for them again"


@dataclass(frozen=True)
class AheadRow:
    """A row of the table."""

    names: Names
    varied: str
    """Further settings in which the cell differs from the other rows."""
    done: AnnotatedAhead


def report(cells: Sequence[AheadRow]) -> str:
    """The table with totals, then notes: what waits, what failed, what a run will ask again, retries of servers."""
    lines = [*map(_shown, cells), _total(cells)]
    used = [i for i, name in enumerate(COLUMNS) if name != "varied" or any(cell.varied for cell in cells)]
    table = markdown_table([COLUMNS[i] for i in used], [[line[i] for i in used] for line in lines], TEXT_COLUMNS)
    notes = "\n".join(f"- {note}" for note in _notes([cell.done for cell in cells]))
    return "\n\n".join(part for part in (table, notes, LEGEND) if part) + "\n"


def _shown(cell: AheadRow) -> list[str]:
    """The row in the order of `COLUMNS`."""
    return [*cell.names, cell.varied, _state(cell.done), *_amounts([cell.done])]


def _total(cells: Sequence[AheadRow]) -> list[str]:
    return [f"total of {len(cells)}", "", "", "", "", "", *_amounts([cell.done for cell in cells])]


def _amounts(done: Sequence[AnnotatedAhead]) -> list[str]:
    calls = sum(each.bought.calls for each in done)
    tokens = sum(each.bought.prompt_tokens + each.bought.completion_tokens for each in done)
    paid = sum(each.bought.usd for each in done)
    counts = [sum(each.questions for each in done), calls, sum(each.held_calls for each in done), tokens]
    return [*map(number, counts), usd(paid)]


def _state(done: AnnotatedAhead) -> str:
    if done.failure is not None:
        return "failed"
    if done.needless is not None:
        return "nothing to prepare"
    return "prepared in part" if done.waits else "prepared"


def _notes(done: Sequence[AnnotatedAhead]) -> Iterator[str]:
    said = {
        "nothing to prepare": [each.needless for each in done if each.needless],
        "waits for a student": [why for each in done for why in each.waits],
        "failed": [each.failure for each in done if each.failure],
    }
    for what, reasons in said.items():
        for reason, count in Counter(reasons).items():
            yield f"{what}: {reason} ({_cells(count)})" if len(done) > 1 else f"{what}: {reason}"
    yield from _notes_on_replies(done)
    for name in dict.fromkeys(name for each in done for name in each.traffic):
        trouble = _trouble([each.traffic[name] for each in done if name in each.traffic])
        if trouble:
            yield f"teacher={name}: {trouble}"


def _notes_on_replies(done: Sequence[AnnotatedAhead]) -> Iterator[str]:
    """What no store keeps, what the task cannot read, and how many replies have a trace."""
    unkept = sum((each.unkept for each in done), Counter[str]())
    replies = sum((each.replies for each in done), ReplyCounts())
    if unkept:
        cut = "; where they were cut, raise the teacher's length cap" if replies.cut else ""
        example = f"; one of them: {replies.example}" if replies.example else ""
        yield f"{number(unkept.total())} {UNKEPT}: {_listed(unkept)}{cut}{example}"
    yield from dict.fromkeys(each.unread for each in done if each.unread)
    if replies.with_trace:
        nothing_else = f", {number(replies.unclosed_traces)} of them nothing else" if replies.unclosed_traces else ""
        share = f"{number(replies.with_trace)} of {number(replies.replies)} replies have a trace"
        yield f"{share}{nothing_else}; teacher.thinking says what becomes of it"


def _trouble(traffic: Sequence[Json]) -> str:
    """Retries and failures by reason; empty where every request was answered at once."""
    retries, failures = (
        sum((Counter(row[what]) for row in traffic), Counter[str]()) for what in ("retries", "failures")
    )
    unknown = sum(row["uncounted_requests"] for row in traffic)
    parts = [f"of {number(sum(row['requests'] for row in traffic))} requests"]
    parts += [f"{number(retries.total())} were tried again ({_listed(retries)})"] if retries else []
    parts += [f"{number(failures.total())} failed ({_listed(failures)})"] if failures else []
    parts += [f"{number(unknown)} broke off, so that nobody knows what they cost"] if unknown else []
    return ", ".join(parts) if len(parts) > 1 else ""


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common())


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
