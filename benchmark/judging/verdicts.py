"""Reads a judge's verdict, and says what the verdicts in both orders amount to."""

from __future__ import annotations

import re
from typing import Literal

Verdict = Literal["A", "B", "tie"]
"""The better explanation by its place in the prompt."""
Cell = Literal["first", "second"]
Preference = Literal["first", "second", "tie"]
"""The better explanation by its cell."""
Outcome = Literal["first", "tie", "position", "second", "unread"]
"""What two verdicts in both orders amount to; `position` means that both named the same place."""

_WORD = r"(?P<said>A|B|tie)"
_WHOLE = re.compile(rf"(?:(?:final )?verdict(?: is)?:?\s*)?(?:(?:student|explanation) )?{_WORD}[.!)]?", re.IGNORECASE)
_LABELLED = re.compile(rf"\bverdict(?: is)?\s*[:=]\s*(?:(?:student|explanation) )?{_WORD}(?![\w'’])", re.IGNORECASE)
_FIRST_WORD = re.compile(rf"{_WORD}(?:,| because\b| since\b)")
_ORNAMENTS = re.compile(r"[*_`\"“”#\[\](){{}}<>]")


def read_verdict(text: str) -> Verdict | None:
    """The verdict that a reply states; None if it states none.

    It is the first line if that is a verdict and nothing else, or else the last one behind the label `Verdict:`, or
    else the last line, or the word in front of a reason (`A, because ...`). Marks such as asterisks do not count.
    """
    lines = [line.strip() for line in _ORNAMENTS.sub("", text).splitlines() if line.strip()]
    if not lines:
        return None
    labelled = list(_LABELLED.finditer("\n".join(lines)))
    found = (
        _WHOLE.fullmatch(lines[0])
        or (labelled[-1] if labelled else None)
        or _WHOLE.fullmatch(lines[-1])
        or _FIRST_WORD.match(lines[0])
    )
    return None if found is None else _spelt(found["said"])


def _spelt(said: str) -> Verdict:
    upper = said.upper()
    return "A" if upper == "A" else "B" if upper == "B" else "tie"


def preferred(verdict: Verdict | None, shown_as_a: Cell) -> Preference | None:
    """The cell that a verdict prefers, where `shown_as_a` stood in place A."""
    if verdict is None or verdict == "tie":
        return verdict
    if verdict == "A":
        return shown_as_a
    return "second" if shown_as_a == "first" else "first"


def outcome(one: Preference | None, other: Preference | None) -> Outcome:
    """What the preferences in both orders amount to.

    A cell wins if both prefer it. `position` is a verdict that followed the place; a tie in one order alone is a tie.
    """
    if one is None or other is None:
        return "unread"
    if one == other:
        return one
    return "tie" if "tie" in (one, other) else "position"
