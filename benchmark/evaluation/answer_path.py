"""The answer path: the format's roles, asked one after the other; each gets the text of the role before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmark.contract import Format, Task
from benchmark.student.student import Student
from benchmark.types import Question, Reply


def follow(
    roles: Sequence[str],
    student: Student,
    questions: Sequence[Question],
    form: Format,
    task: Task,
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
    key: str = "",
    advance: Callable[[int], None] = lambda rows: None,
) -> list[list[Reply]]:
    """Asks the student all roles, one after the other, about each question.

    Args:
        roles: the roles to ask, in order.
        student: the student that writes.
        questions: the questions.
        form: the format, which makes the request for a role from a question and the text of the role before.
        task: how a question is shown.
        max_new_tokens: the cap in tokens for requests that set none; None (the default) leaves it to the student.
        temperature: 0.0 (the default) is greedy.
        key: above temperature 0, another key gives other replies; empty by default.
        advance: called after each batch with the number of finished generations; does nothing by default.

    Returns:
        For each question, one reply per role.
    """
    turns: list[list[Reply]] = [[] for _ in questions]
    for role in roles:
        requests = [
            form.request(question, role, task, last_text(replies))
            for question, replies in zip(questions, turns, strict=True)
        ]
        requests = [
            replace(request, max_new_tokens=request.max_new_tokens or max_new_tokens, temperature=temperature)
            for request in requests
        ]
        for replies, [reply] in zip(turns, student.generate(requests, key=key, advance=advance), strict=True):
            replies.append(reply)
    return turns


def last_text(replies: Sequence[Reply]) -> str:
    """The text of the last reply; empty if there is no reply yet."""
    return replies[-1].text if replies else ""
