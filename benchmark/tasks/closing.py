"""Finds the clause that closes a reply with its answer (`So the answer is 72.`), and the reasoning before it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmark.tasks.lead import IS, LABEL, WINDOW, lead_start, reasoning_before
from benchmark.tasks.statements import closing_brace

_CLAUSE = re.compile(rf"{LABEL}(?:{IS}|(?P<heading>[^\S\n]{{0,3}}$))", re.IGNORECASE | re.MULTILINE)
_SUPPOSED = re.compile(
    r"\b(?:if|whether|unless|until|when|what|why|suppos(?:e|ed|ing)|assum(?:e|ed|ing)|doubt|example"
    r"|let(?:['’]s| us) say"
    r"|(?:\w{1,9}n['’]t|not|cannot|might|may|could) (?:\w{1,12} )?(?:think|believe|say|claim|know|true|certain|sure))"
    r"(?:,|:| that)?[*_]{0,3}\s{1,3}[*_]{0,3}\Z",
    re.IGNORECASE,
)
_SENTENCE_BEGINS = re.compile(r"(?:\A|[\n.!?;:)\]}])[\s*_`#>•–—-]{0,9}\Z")
_DRESS = re.compile(r"[\s*_]*")
_HASHES = re.compile(r"(?<!#)####(?!#)")
_SENTENCE_ENDS = re.compile(r"[.!?;](?=\s)|\n")
_MATHEMATICS_OPENS = re.compile(r"(?:\${1,2}|\\\(|\\\[)\s*\Z")
_BOX_CLOSES = re.compile(r"(?:[\s.$*_`]|\\\)|\\\]|\\end\{[a-z]{1,9}\*?\})*")
_BOX_FOLLOWS = re.compile(
    r"(?:\A|[\n:,.;!?]|(?<![<>!≤≥≠])=|(?<![\\\w])[^\W\d_]{1,30})(?:[\s$*_`€£&]|\\\(|\\\[)*\Z"  # no sign, no operator
)
_UNSURE = re.compile(
    r"\b(?:not|never|neither|nor|cannot|or|either|between|wrong|incorrect|instead|suppose|assume|example|would|was|were"
    r"|negative|minus|half|third|quarter|double|twice|thought|initially|originally)\b"
    r"|n['’]t\b|\\boxed",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Closing:
    """A reply that closes with its answer."""

    reasoning: str
    """The reply without the clause and without the marks and words that only lead to it; may be empty."""
    answer: str
    """What the clause states, up to the end of the reply; may be empty."""


def closing(text: str) -> Closing | None:
    """The last clause of a text that states an answer, with what stands before it; None if there is none.

    A clause is `the answer is`, `answer:` or `answer =` and their variants, a heading that says `Answer`, `####` in the
    last line, or a LaTeX box at the end. Suppositions (`if the answer is`) and the past (`was`) are none.
    """
    text = text.strip()
    return _boxed(text) or _marked(text) or _stated(text)


# --- in words --------------------------------------------------------------------------------------------------------


def _stated(text: str) -> Closing | None:
    clause = _last_clause(text, 0, len(text))
    return clause and Closing(reasoning_before(text, clause.start()), _bare(text[clause.end() :]))


def _last_clause(text: str, start: int, end: int) -> re.Match[str] | None:
    last_line = text.rfind("\n")
    clauses = reversed(list(_CLAUSE.finditer(text, start, end)))
    return next((clause for clause in clauses if _states(clause, last_line)), None)


def _states(clause: re.Match[str], last_line: int) -> bool:
    """Whether these words state an answer. A label (`Answer:`) must begin a sentence, and one line must follow."""
    text, start = clause.string, clause.start()
    if clause["the"] and clause["heading"] is None:
        return text[start].isupper() or _SUPPOSED.search(text, max(0, start - WINDOW), start) is None
    label = _DRESS.match(text, clause.end())
    if label is None or label.end() <= last_line:
        return False
    begins = start if clause["heading"] is not None else lead_start(text, start)[0]
    return _SENTENCE_BEGINS.search(text, max(0, begins - WINDOW), begins) is not None


def _marked(text: str) -> Closing | None:
    """What follows `####` in the last line."""
    marks = list(_HASHES.finditer(text, text.rfind("\n") + 1))
    if not marks or _CLAUSE.search(text, marks[-1].end()):
        return None
    return Closing(reasoning_before(text, marks[-1].start()), _bare(text[marks[-1].end() :]))


def _bare(text: str) -> str:
    """The text without one full stop at its end, and without emphasis that opens or closes outside of it."""
    return _paired(_paired(text.strip()).removesuffix(".").strip())


def _paired(text: str) -> str:
    for mark in ("***", "**", "__", "*", "_", "`"):
        if text.count(mark) % 2 and text.startswith(mark) != text.endswith(mark):
            text = text.removeprefix(mark).removesuffix(mark).strip()
    return text


# --- in a box --------------------------------------------------------------------------------------------------------


def _boxed(text: str) -> Closing | None:
    """The box that ends a text. Alone, or behind `the answer is` in its sentence, it is cut with its clause.

    A sentence of the reasoning that ends in a box stays there, with what is in the box in its place.
    """
    box = text.rfind("\\boxed")
    inner = text.find("{", box) + 1
    if box < 0 or text[box + len("\\boxed") : inner].strip() != "{":
        return None
    end = closing_brace(text, inner)
    if end is None or not _BOX_CLOSES.fullmatch(text, end + 1):
        return None
    begin = max((found.end() for found in _SENTENCE_ENDS.finditer(text, 0, box)), default=0)
    if _UNSURE.search(text, begin, box) or not _BOX_FOLLOWS.search(text, max(0, box - WINDOW), box):
        return None
    answer, start = text[box : end + 1], _alone_from(text, begin, box)
    if start is not None:
        return Closing(text[:start].strip(), answer)
    clause = _last_clause(text, begin, box)
    if clause is None:
        return Closing(f"{text[:box]}{text[inner:end].strip()}{text[end + 1 :]}".strip(), answer)
    between = text[clause.end() : box]
    worked_out = between.rstrip(" \n$*_`([\\").endswith("=") or not any(map(str.isdecimal, between))
    return Closing(reasoning_before(text, clause.start()), answer) if worked_out else None


def _alone_from(text: str, begin: int, box: int) -> int | None:
    """Where the clause of a box begins that only marks and leading words stand before; None if more does.

    `begin` is where its sentence begins.
    """
    opens = _MATHEMATICS_OPENS.search(text, max(0, box - WINDOW), box)
    start, words = lead_start(text, opens.start() if opens else box)
    return start if words or not text[begin:start].strip() else None
