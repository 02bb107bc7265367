"""What can be counted in an explanation's text alone. None of it says how good the explanation is."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")


def words(text: str) -> int:
    """How many runs of letters and digits there are."""
    return len(_WORD.findall(text))


def sentences(text: str) -> int:
    """How many parts with a word lie between full stops, question and exclamation marks before white space."""
    return sum(bool(_WORD.search(part)) for part in _SENTENCE_END.split(text))


def names(text: str, phrase: str) -> bool:
    """Whether the words of a phrase stand in the text, one after another, whatever their case; never for no words."""
    wanted = [word.lower() for word in _WORD.findall(phrase)]
    found = [word.lower() for word in _WORD.findall(text)]
    starts = range(len(found) - len(wanted) + 1)
    return bool(wanted) and any(found[start : start + len(wanted)] == wanted for start in starts)


def count_named(text: str, phrases: Iterable[str]) -> int:
    """How many different phrases the text names."""
    return sum(names(text, phrase) for phrase in dict.fromkeys(phrases))
