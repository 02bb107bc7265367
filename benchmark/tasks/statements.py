"""Finds where a free text states its answer; numeric and multiple-choice tasks both use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FULL_WIDTH = 0xFEE0
"""The code of a full-width character minus the code of its plain form."""
_SAME_CHARACTERS = {ord(plain) + _FULL_WIDTH: plain for plain in "0123456789.,+-"} | {ord("−"): "-"}
_EMPHASIS = "*_`"
_SHELL = re.compile(
    r"\$?\\boxed\s?\{(?P<box>.*)\}\$?|\\(?:text|textbf|textit|textrm|mathbf|mathrm)\s?\{(?P<style>.*)\}"
    r"|\$\$(?P<display>[^$]*)\$\$|\$(?P<mathematics>[^$]*)\$|\\\((?P<round>.*)\\\)|\\\[(?P<square>.*)\\\]",
    re.DOTALL,
)
_MOST_SHELLS = 6
_BRACE = re.compile(r"(?<!\\)[{}]")
_BETWEEN_GROUPS = re.compile(r"(?<=[0-9])(?:\{?,?\\[,!;: ]\}?|[~'’\u00b4`\u2009\u202f\u00a0])(?=[0-9])")
"""What separates groups of digits beside a comma: LaTeX's spaces, an apostrophe (Swiss), spaces that do not break."""
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
    """The text with plain digits, signs and commas in place of their full-width, Unicode and LaTeX forms.

    What separates groups of digits becomes a comma too, so that the groups are checked in one place.
    """
    text = text.translate(_SAME_CHARACTERS).replace("\\$", "$").replace("\\%", "%")
    return _BETWEEN_GROUPS.sub(",", text).replace("{,}", ",")


def unadorned(text: str) -> str:
    """The text without white space, one full stop, Markdown emphasis and LaTeX (box, mathematics, style) around it."""
    text = _undressed(_undressed(text).removesuffix("."))
    for _ in range(_MOST_SHELLS):
        shell = _SHELL.fullmatch(text)
        inner = next((part for part in shell.groups() if part is not None), "") if shell else ""
        if not shell or (shell.lastgroup in ("box", "style") and closing_brace(inner, 0) is not None):
            return text
        text = _undressed(_undressed(inner).removesuffix("."))
    return text


def closing_brace(text: str, start: int) -> int | None:
    """Where the brace is closed whose content begins at `start`; None if it is not."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return None


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
