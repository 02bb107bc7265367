"""Reads a teacher's reply: the reasoning, then the clause that states the answer."""

from __future__ import annotations

import re
from dataclasses import replace

from benchmark.tasks.closing import closing
from benchmark.tasks.stopping import NEXT_EXEMPLAR as NEXT_EXEMPLAR  # for parts that need only this module
from benchmark.tasks.stopping import has_ended, kept
from benchmark.tasks.thinking import split_thinking, untagged, with_trace
from benchmark.types import Finish, Reply, Request, Thinking

ANSWER_CLAUSE = "The answer is"
"""The words before the answer, in the prompts' exemplars; `split_answer` also reads what others write instead."""
CONTENT_FILTER: Finish = "content_filter"
"""`finish` of a reply that the model or its provider refused."""
UNREADABLE: Finish = "unreadable"
"""`finish` of a reply in a form without a text: it is paid for and not kept, and asking again brings the same."""
_NEXT_QUESTION = re.compile(r"\n[*_]{0,3}Q:")


def until_stop(reply: Reply, request: Request) -> Reply:
    """The reply without what does not count: a restated question, and all from the first text that ends it on.

    If something was cut, `log_probability` becomes None; the token counts still include the cut text. `finish` becomes
    `stop` if a text of `Request.stop` ended the reply.
    """
    text = kept(request, reply.text)
    if text == reply.text:
        return reply
    finish: Finish = "stop" if has_ended(request, reply.text) else reply.finish
    return replace(reply, text=text, finish=finish, log_probability=None)


def own_words(reply: Reply, request: Request) -> str:
    """The reply's text without the question that it restates and without what it invents behind its answer."""
    stopping = replace(request, stop=(*request.stop, NEXT_EXEMPLAR))
    return before_next_exemplar(kept(stopping, reply.text))


def before_next_exemplar(text: str) -> str:
    """The text before the first invented question."""
    return _NEXT_QUESTION.split(text, maxsplit=1)[0].strip()


def split_answer(text: str) -> tuple[str | None, str | None]:
    """(rationale, answer text) of a few-shot reply; each is None if the reply does not contain it.

    Cuts the text before an invented next question. The last clause that states an answer counts, up to the end of the
    text; words, marks and headings that only lead to it are no part of the rationale.
    """
    text = before_next_exemplar(text)
    found = closing(text)
    return (text or None, None) if found is None else (found.reasoning or None, found.answer or None)


def is_trace_alone(reply: Reply) -> bool:
    """Whether a server gave the whole reply as a trace, so that `text` and `trace` are the same."""
    return reply.trace == reply.text


def thought_apart(reply: Reply, thinking: Thinking) -> Reply:
    """The reply with its trace in `trace` and not in `text`, and with the teacher's setting in `thinking`.

    `text` becomes empty where the trace never ends.
    """
    if is_trace_alone(reply):
        return replace(reply, thinking=thinking)
    thought = split_thinking(reply.text)
    trace = untagged(reply.trace) if reply.trace else thought.trace
    return replace(reply, text=thought.reply, trace=trace or None, thinking=thinking)


def rationale_with_trace(reply: Reply, rationale: str | None) -> str | None:
    """The rationale that was read from a reply, with the reply's trace before it or in its place (`Reply.thinking`).

    A trace that never ended is no rationale.
    """
    if reply.thinking == "strip" or not reply.text or reply.trace is None or is_trace_alone(reply):
        return rationale
    return reply.trace if reply.thinking == "only" else with_trace(reply.trace, rationale or "").rstrip()


def is_encodable(text: str) -> bool:
    """Whether the text can be written to a file; a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
