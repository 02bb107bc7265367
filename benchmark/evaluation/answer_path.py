"""The way to an answer: the format's roles one after the other, each given the text of the one before."""

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
    """Per question one reply to each role. Above temperature 0, another `key` draws another way.

    `advance` is told how many generations each batch finished.
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
    """What was written last; nothing before the first turn."""
    return replies[-1].text if replies else ""
