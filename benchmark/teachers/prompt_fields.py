"""Reads what a rendered prompt gives to a simulated model: the question asked, and texts behind labels.

Whatever the wording, a label stands at the beginning of a line, and its text on the same line.
"""

from __future__ import annotations

import re

from benchmark.teachers.replies import ANSWER_CLAUSE
from benchmark.types import Question, Request

ASKED = re.compile(r"^(?:Q|Question): ", re.MULTILINE)
"""What begins a question; the last one of a prompt is asked, those before it are exemplars."""
_STATED = re.compile(rf"{ANSWER_CLAUSE} (.+?)\.(?=\s|$)")


def asked_part(request: Request, shown: str, question: Question) -> str | None:
    """The prompt from the question that it asks on, with a begun reply behind it; None if it asks another question.

    The question stands there as the task shows it, or with its text and then all its choices.
    """
    part = ASKED.split(request.prompt)[-1]
    if shown in part:
        return part + request.prefix
    place = part.find(question.text)
    for choice in question.choices or ():
        place = part.find(choice, place + 1) if place >= 0 else place
    return part + request.prefix if place >= 0 else None


def labelled(part: str, *labels: str) -> str | None:
    """The text behind the first of these labels that the part has; None if it has none of them."""
    for label in labels:
        found = re.search(rf"^{label}:[ ]?(.*)$", part, re.MULTILINE)
        if found:
            return found[1].strip()
    return None


def given_answer(part: str) -> str | None:
    """The answer that the last clause `The answer is ...` gives; None without a clause."""
    found = _STATED.findall(part)
    return found[-1] if found else None


def explained(part: str) -> tuple[str | None, str] | None:
    """(the answer that an explanation states, its reasoning); None if the part shows no explanation."""
    text, apart = labelled(part, "Explanation", "Solution"), labelled(part, "Answer")
    if text is None and apart is None:
        return None
    shown = apart if text is None else text
    found = _STATED.search(shown or "") or _STATED.search(apart or "")
    answer = found[1] if found else None if text is None else apart
    return answer, _STATED.sub("", shown or "").strip()
