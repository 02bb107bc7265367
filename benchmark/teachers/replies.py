"""Reads a teacher's reply: the reasoning, then the clause that states the answer."""

from __future__ import annotations

from dataclasses import replace

from benchmark.tasks.closing import closing
from benchmark.tasks.stopping import NEXT_EXEMPLAR as NEXT_EXEMPLAR  # for parts that need only this module
from benchmark.tasks.stopping import has_ended, kept
from benchmark.types import Reply, Request

ANSWER_CLAUSE = "The answer is"
"""The words before the answer, in the prompts' exemplars; `split_answer` also reads what others write instead."""


def until_stop(reply: Reply, request: Request) -> Reply:
    """The reply without what does not count: a restated question, and all from the first text that ends it on.

    If something was cut, `log_probability` becomes None; the token counts still include the cut text. `finish` becomes
    `stop` if a text of `Request.stop` ended the reply.
    """
    text = kept(request, reply.text)
    if text == reply.text:
        return reply
    finish = "stop" if has_ended(request, reply.text) else reply.finish
    return replace(reply, text=text, finish=finish, log_probability=None)


def own_words(reply: Reply, request: Request) -> str:
    """The reply's text without the question that it restates and without what it invents behind its answer."""
    stopping = replace(request, stop=(*request.stop, NEXT_EXEMPLAR))
    return before_next_exemplar(kept(stopping, reply.text))


def before_next_exemplar(text: str) -> str:
    """The text before the first invented question."""
    return text.partition(NEXT_EXEMPLAR)[0].strip()


def split_answer(text: str) -> tuple[str | None, str | None]:
    """(rationale, answer text) of a few-shot reply; each is None if the reply does not contain it.

    Cuts the text before an invented next question. The last clause that states an answer counts, up to the end of the
    text; words, marks and headings that only lead to it are no part of the rationale.
    """
    text = before_next_exemplar(text)
    found = closing(text)
    return (text or None, None) if found is None else (found.reasoning or None, found.answer or None)
