"""Where a reply ends, and where it begins if the model restates the question first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from benchmark.tasks.closing import closing
from benchmark.tasks.thinking import behind_trace
from benchmark.types import Request

NEXT_EXEMPLAR = "\nQ:"
"""The beginning of a further question that a base model invents after its answer."""
_QUESTION = re.compile(r"^[*_]{0,3}Q:", re.MULTILINE)
_SPEAKER = re.compile(
    r"\n[^\S\n]{0,9}(?:#{1,6}[^\S\n]{1,3})?[*_]{0,3}(?:Q|q|(?:Next )?Question|Problem|Human|User|Instruction)"
    r"(?: ?[0-9]{1,3})?[*_]{0,3}:"
)
"""The beginning of a further turn in other words; behind an answer it ends the reply."""
_IGNORED = re.compile(r"[\s*_`]+")
_LABEL = re.compile(r"\w{1,20}:")
_UNFINISHED = -1


def kept(request: Request, text: str) -> str:
    """The part of a written text that counts as the reply, and the trace before it; nothing in a trace ends a reply."""
    behind = behind_trace(text)
    if behind is None:
        return text
    start, end = _reply_span(request, text[behind:], is_whole=True)
    return text[:behind] + text[behind:][start:end]


def has_ended(request: Request, text: str) -> bool:
    """Whether a stop text ends a text that may still be written; a question that is being restated does not."""
    behind = behind_trace(text)
    return behind is not None and _reply_span(request, text[behind:], is_whole=False)[1] is not None


def _reply_span(request: Request, text: str, is_whole: bool) -> tuple[int, int | None]:
    """Where the reply begins and ends in a text without a trace; the end is None if no text of `stop` ends it.

    With a `one_line` contrast, the first line feed ends it. A `Q:` that only restates the prompt's last question, alone
    or with the exemplars before it, ends no reply if no answer stands before it: the reply begins behind it. A text
    that breaks off in a question ends before it if the text `is_whole`; else the question may still be a restated one.
    """
    if request.contrast and request.contrast.one_line:
        return 0, _first(("\n",), text, 0)
    start, next_question = 0, None
    if NEXT_EXEMPLAR in request.stop:
        start, next_question = _between_questions(request.prompt, text, is_whole)
    other = _first((stop for stop in request.stop if stop != NEXT_EXEMPLAR), text, start)
    return start, min((end for end in (next_question, other) if end is not None), default=None)


def _first(stops: Iterable[str], text: str, start: int) -> int | None:
    return min((place for place in (text.find(stop, start) for stop in stops) if place >= 0), default=None)


def _between_questions(prompt: str, text: str, is_whole: bool) -> tuple[int, int | None]:
    """Where a reply begins, behind what it restates, and ends, before the next question; None if there is none."""
    start = 0
    for question in _QUESTION.finditer(text):
        place = question.start()
        if place < start:
            continue  # it stands inside of a copy
        behind = None if _answers(text[start:place]) else _behind_restated(prompt, text, place)
        if behind == _UNFINISHED:
            return start, max(start, place - 1) if is_whole else None
        if behind is not None:
            start = behind
        elif place > 0:
            return start, _end_of_answer(text, start, max(start, place - 1))
    return start, _end_of_answer(text, start, None)


def _end_of_answer(text: str, start: int, end: int | None) -> int | None:
    """`end`, or where a further turn begins before it, if an answer stands before that."""
    for turn in _SPEAKER.finditer(text, start, len(text) if end is None else end):
        if _answers(text[start : turn.start()]):
            return turn.start()
        start = turn.end()
    return end


def _answers(text: str) -> bool:
    found = closing(text)
    return found is not None and bool(found.answer)


# --- copies of the prompt --------------------------------------------------------------------------------------------


def _behind_restated(prompt: str, text: str, start: int) -> int | None:
    """Where a text goes on behind a copy of the prompt from one of its questions on; None if it holds no copy there.

    `_UNFINISHED` if the text ends inside of the copy.
    """
    questions, label = _questions(prompt)
    ends = (_behind(question, label, text, start) for question in questions)
    return max((end for end in ends if end is not None), default=None)


@lru_cache(maxsize=256)
def _questions(prompt: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """The prompt from each of its questions on, folded and without the label at its end, and how to find that label."""
    asked, _, last = prompt.rstrip().rpartition("\n")
    label = last.strip() if _LABEL.fullmatch(last.strip()) else ""
    asked = asked if label else prompt
    folded = tuple(_folded(asked[question.start() :]) for question in _QUESTION.finditer(asked))
    spelt = rf"[*_]{{0,3}}{re.escape(label)}[*_]{{0,3}}" if label else "(?!)"
    return folded, re.compile(rf"(?P<line>[^\S\n]*[*_`]*[^\S\n]*\n)?\s*(?P<label>{spelt})?\s*", re.IGNORECASE)


def _folded(text: str) -> str:
    return _IGNORED.sub("", text).casefold()


def _behind(copied: str, label: re.Pattern[str], text: str, start: int) -> int | None:
    matched = 0
    for place in range(start, len(text)):
        written = _folded(text[place])
        if not copied.startswith(written, matched):
            return None
        matched += len(written)
        if matched == len(copied):
            behind = label.match(text, place + 1)
            if behind and (behind["line"] or behind["label"]):
                return behind.end()
            return None if _folded(text[place + 1 : place + 9]) else _UNFINISHED
    return _UNFINISHED
