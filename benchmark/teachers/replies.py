"""Reading a teacher's reply: the reasoning, then the clause that states the answer."""

from __future__ import annotations

from dataclasses import replace

from benchmark.types import Reply, Request

ANSWER_CLAUSE = "The answer is"
"""What the prompts' exemplars write before the answer, and what the parser looks for."""
NEXT_EXEMPLAR = "\nQ:"
"""Where a base model runs on into a question of its own invention."""


def until_stop(reply: Reply, ask: Request) -> Reply:
    """The reply up to the first of the texts that end it, whoever wrote on behind it.

    Its tokens were written all the same; the probability of what is left is not known then.
    """
    kept = ask.kept(reply.text)
    return reply if kept == reply.text else replace(reply, text=kept, finish="stop", log_probability=None)


def before_next_exemplar(text: str) -> str:
    """The reply without the invented questions behind it."""
    return text.partition(NEXT_EXEMPLAR)[0].strip()


def split_answer(text: str) -> tuple[str | None, str | None]:
    """(rationale, answer text) of a few-shot reply; either is None where the reply does not hold it.

    Text from an invented next question on is cut. The last answer clause counts.
    """
    text = before_next_exemplar(text)
    rationale, clause, answer = text.rpartition(ANSWER_CLAUSE)
    if not clause:
        return text or None, None
    return rationale.strip() or None, answer.strip().removesuffix(".").strip() or None
