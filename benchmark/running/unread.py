"""Says of annotations why a student cannot learn from them, quotes one reply, and names the setting that helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmark.contract import Format, Task
from benchmark.records.schema import unread_shares
from benchmark.teachers.replies import is_trace_alone, own_words
from benchmark.types import Annotation, Exchange, Reply

LONGEST_QUOTE = 200


def why_nothing_is_learnt(form: Format, annotations: Sequence[Annotation], task: Task) -> str:
    """The message for annotations of which the weighting, or else the format, left no training example."""
    if annotations and not any(row.weight > 0 for row in annotations):
        return (
            f"the weighting dropped all {len(annotations)} annotations (the last one because: "
            f"{annotations[-1].reason or 'it gave no reason'}); nothing is left to train on"
        )
    annotations = [row for row in annotations if row.weight > 0]
    reasons = "; ".join(_reasons(annotations, task))
    return (
        f"no training examples: format {type(form).__name__} could use none of the {len(annotations)} annotations"
        + (f": {reasons}" if reasons else "")
    )


def unread_warning(notes: Mapping[str, float]) -> str | None:
    """A line about a selection that could not read the student, from the notes of its round; None if it could."""
    unread = [f"{share:.0%} of the student's {what}" for what, share in unread_shares(notes).items()]
    return f"the selection's score is meaningless: {' and '.join(unread)} could not be read" if unread else None


def of_unread(annotations: Sequence[Annotation], task: Task) -> str | None:
    """How many annotations state no answer that the task can read, with a quote; None if there are none."""
    unread = [row for row in annotations if row.answer is None]
    if not unread:
        return None
    line = f"{len(unread)} of {len(annotations)} annotations state no answer that the task can read"
    heard = [exchange.reply for exchange in map(_last, unread) if exchange is not None]
    quoted = next((_shown(reply) for reply in heard if reply.text or reply.said), None)
    if quoted:
        line += f", for example {quoted}"
    flexible = sum(_reads_flexibly(row, task) for row in unread)
    return f"{line} ({flexible} of them would be read by annotation.reading=flexible)" if flexible else line


def _reasons(annotations: Sequence[Annotation], task: Task) -> Iterator[str]:
    unread = of_unread(annotations, task)
    if unread:
        yield unread
    bare = [row for row in annotations if not row.rationale]
    if bare:
        yield f"{len(bare)} have no rationale"
    replies = [exchange.reply for exchange in map(_last, annotations) if exchange is not None]
    stripped = [reply for reply in replies if reply.thinking == "strip" and reply.text and reply.trace is not None]
    thought = sum(not is_trace_alone(reply) for reply in stripped)
    if bare and thought:
        yield f"{thought} replies have a trace: teacher.thinking=only or keep makes it the rationale, at no cost"
    cut = sum(reply.finish == "length" for reply in replies)
    if cut:
        yield f"{cut} replies were cut: raise the teacher's length cap"


def _last(row: Annotation) -> Exchange | None:
    """The exchange that an annotation was read from; None if no teacher was asked."""
    return row.exchanges[-1] if row.exchanges else None


def _shown(reply: Reply) -> str:
    """The reply in one line, without its middle if it is long: the end is where an answer belongs."""
    text, half = " ".join((reply.text or reply.said).split()), LONGEST_QUOTE // 2
    return repr(text if len(text) <= LONGEST_QUOTE else f"{text[:half]} ... {text[-half:]}")


def _reads_flexibly(row: Annotation, task: Task) -> bool:
    exchange = _last(row)
    if exchange is None or is_trace_alone(exchange.reply):
        return False
    return task.parse_flexibly(row.question, own_words(exchange.reply, exchange.request)) is not None
