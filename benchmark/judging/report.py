"""What people see of a comparison: a table by construct, and what to keep in mind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from benchmark.console.markdown_table import markdown_table, number, usd
from benchmark.judging.asking import Judgement
from benchmark.judging.cells import ExplainedCell, Pair
from benchmark.judging.tally import Tally, overall, tallies
from benchmark.tasks.shortened import shortened
from benchmark.types import Usage

COLUMNS = (
    *("construct", "first wins", "ties", "by position", "second wins", "unread"),
    *("win rate of first %", "95 %", "orders agree %"),
)
ABSENT = "-"
NO_HUMAN = (
    "a judge is a language model and no human: it says which explanation such a model prefers, and not what people "
    "would prefer"
)


def report(pair: Pair, judgements: Sequence[Judgement], caution: str | None = None) -> str:
    """The table with a row per construct and one for all, then notes; `caution` is a further note."""
    by_construct = tallies(judgements)
    rows = [_row(construct, tally) for construct, tally in by_construct.items()]
    if len(by_construct) > 1:
        rows.append(_row("all", overall(judgements)))
    notes = "\n".join(f"- {note}" for note in (*_notes(pair, judgements), *filter(None, [caution]), NO_HUMAN))
    return f"{markdown_table(COLUMNS, rows, {'construct'})}\n\n{notes}\n"


def cost_line(judge: str, charged: Usage, spent: Usage, is_estimated: bool) -> str:
    """What the judge was asked, and what of it was paid now; the rest came out of the store, or costs nothing."""
    estimate = " (tokens estimated)" if is_estimated else ""
    return f"teacher={judge}: {_amounts(charged)}{estimate}; paid now: {_amounts(spent)}"


def _amounts(usage: Usage) -> str:
    return (
        f"{number(usage.calls)} calls, {number(usage.prompt_tokens)} prompt and {number(usage.completion_tokens)} "
        f"completion tokens, {usd(usage.usd)} USD"
    )


def _row(construct: str, tally: Tally) -> list[str]:
    counts = [number(tally.counts[each]) for each in ("first", "tie", "position", "second", "unread")]
    interval = ABSENT if tally.interval is None else " to ".join(map(_percent, tally.interval))
    return [construct, *counts, _percent(tally.win_rate), interval, _percent(tally.agreement)]


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.1f}"


def _notes(pair: Pair, judgements: Sequence[Judgement]) -> Iterator[str]:
    yield f"first: {_named(pair.first)}; second: {_named(pair.second)}"
    yield f"{number(len(pair.questions))} questions; each construct was asked about in both orders"
    identical = sum(each.is_identical for each in pair.questions)
    if identical:
        yield f"questions with the same answer and explanation in both, so ties, unasked: {number(identical)}"
    yield "ties: a tie in one order at least; by position: both verdicts named the same place; each counts half a win"
    yield "95 %: Wilson interval over questions; ties make it too wide rather than too narrow"
    first, second = (
        fmean(each.first.words for each in pair.questions),
        fmean(each.second.words for each in pair.questions),
    )
    yield f"mean length: {first:.1f} words (first), {second:.1f} words (second); judges tend to prefer long texts"
    unread = [each.reply for each in judgements if each.verdict is None and each.reply is not None]
    if unread:
        count, quoted = number(len(unread)), shortened(unread[0])
        yield f"without a verdict though asked twice, and left out: {count}; one of the replies: {quoted}"


def _named(cell: ExplainedCell) -> str:
    record = cell.record
    return f"{record.method}, student {record.student}, seed {record.seed} (cell {record.cell_id})"
