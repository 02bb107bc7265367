"""Finds where a free text states its answer; numeric and multiple-choice tasks both use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FULL_WIDTH = 0xFEE0
"""The code of a full-width character minus the code of its plain form."""
_SAME_CHARACTERS = {ord(plain) + _FULL_WIDTH: plain for plain in "0123456789.,+-"} | {ord("−"): "-"}
_EMPHASIS = "*_`"
_BOX = re.compile(r"\$?\\boxed\s?\{([^{}]*)\}\$?")
_MARK = re.compile(
    r"\banswer\b[*_]{0,3}\s*(?::|=|(?:is|was|would be|will be)\b)"
    r"|\\boxed\s?\{"
    r"|(?<!#)####(?=[^\S\n]*[^\s#]{1,60}[^\S\n]*$)",  # a Markdown heading has more than one word
    re.IGNORECASE | re.MULTILINE,
)
_NEGATED = re.compile(r"not\b", re.IGNORECASE)
_END = re.compile(r"[.!?;](?=\s|$)|\n")
_INITIAL = re.compile(r"[^\W\d_]\.")
_REASON = re.compile(
    r"(.{1,200}?)[.,:;]?\s{1,3}(?:(?:but |and )?not|rather than|because|since|as)\b", re.IGNORECASE | re.DOTALL
)


def plain_characters(text: str) -> str:
    """The text with plain digits, signs and commas in place of their full-width, Unicode and LaTeX forms."""
    return text.translate(_SAME_CHARACTERS).replace("{,}", ",").replace("\\$", "$").replace("\\%", "%")


def unadorned(text: str) -> str:
    """The text without white space, Markdown emphasis, a LaTeX box and one full stop around it."""
    text = _undressed(_undressed(text).removesuffix("."))
    box = _BOX.fullmatch(text)
    return box[1].strip() if box else text


def statements(text: str) -> Iterator[str]:
    """Yields the statements of an answer in a text, the last one first, without words such as `the answer is`.

    A statement is the sentence after `answer is`, `answer:` and the like, after the start of a LaTeX box, or after
    `####` if only one word follows. A statement that begins with `not` is left out.
    """
    marks = list(_MARK.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    for mark, end in zip(reversed(marks), reversed(ends), strict=True):
        sentence = first_sentence(text[mark.end() : end])
        if sentence and not _NEGATED.match(sentence):
            yield sentence


def first_sentence(text: str) -> str:
    """The text up to its first full stop, semicolon, question or exclamation mark, or end of line.

    A full stop after a single letter at the start (`B. blue`) does not count.
    """
    text = text.lstrip(" \t\r\n*_:")
    end = _END.search(text, 2 if _INITIAL.match(text) else 0)
    return text[: end.start()] if end else text


def before_the_reason(text: str) -> str:
    """The text before the first `because`, `since`, `as`, `rather than` or `not`.

    Empty if none of these words follows within the first 200 characters.
    """
    found = _REASON.match(text)
    return found[1] if found else ""


def _undressed(text: str) -> str:
    return text.strip().strip(_EMPHASIS).strip()
