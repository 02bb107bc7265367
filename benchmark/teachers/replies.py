"""Reads a teacher's reply: the reasoning, then the clause that states the answer."""

from __future__ import annotations

from dataclasses import replace

from benchmark.types import Reply, Request

ANSWER_CLAUSE = "The answer is"
"""The words before the answer, in the prompts' exemplars and for the parser."""
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

    Cuts the text before an invented next question. The last answer clause counts.
    """
    text = before_next_exemplar(text)
    rationale, clause, answer = text.rpartition(ANSWER_CLAUSE)
    if not clause:
        return text or None, None
    return rationale.strip() or None, answer.strip().removesuffix(".").strip() or None
