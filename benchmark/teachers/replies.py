"""Reads a teacher's reply: the reasoning, then the clause that states the answer."""

from __future__ import annotations

from dataclasses import replace

from benchmark.tasks.closing import closing
from benchmark.types import Reply, Request

ANSWER_CLAUSE = "The answer is"
"""The words before the answer, in the prompts' exemplars; `split_answer` also reads what others write instead."""
NEXT_EXEMPLAR = "\nQ:"
"""The beginning of a further question that a base model invents after its answer."""


def until_stop(reply: Reply, request: Request) -> Reply:
    """The reply, cut before the first text that ends it (`Request.kept`).

    If something was cut, `log_probability` becomes None; the token counts still include the cut text.
    """
    kept = request.kept(reply.text)
    return reply if kept == reply.text else replace(reply, text=kept, finish="stop", log_probability=None)


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
