"""Looks for leaks: how many test questions stand, wholly or in large part, in what a student may learn from.

Two measures. Equal questions are found whatever their length. Parts are found by runs of eight words, as in PaLM
(Chowdhery et al., 2022, section 8), which calls a question contaminated if 70 % of its runs occur in the training data.

Only the test questions and their runs are held in memory; all other texts pass by one after the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmark.types import Question

RUN_WORDS = 8
"""How many words one after the other make a run. A shorter question has no run, and only an equal one is found."""
NEAR_PERCENT = 70
"""From this share of its runs on, a test question counts as near."""

_WORD = re.compile(r"\w+")
_QUOTATION_MARKS = "\"'`\u00b4\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_WORD_OR_SIGN = re.compile(rf"\w+|[^\w\s.,;:?!{_QUOTATION_MARKS}]")  # 3+5 and 3-5 are two questions, so signs count
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")

_Key = tuple[tuple[str, ...], tuple[str, ...], frozenset[tuple[str, ...]]]


@dataclass(frozen=True)
class Overlap:
    """How many questions of one test set occur in given texts. Each of the first three counts includes the one before.

    Texts are compared in lower case and in one form of Unicode; white space and marks of prose do not count.
    """

    exact: int
    """Word for word, with the same context and the same options in any order."""
    near: int
    """Exact, or at least `NEAR_PERCENT` of the question's runs of words occur; options are left out."""
    any: int
    """Near, or one run of words occurs."""
    short: int
    """Questions too short for a run of words, of which only exact ones can be found."""
    covered: float
    """The share of all runs of all questions that occur, in [0, 1]; 0 if all questions are short."""


def overlap_of(asked: Sequence[Question], questions: Iterable[Question], texts: Iterable[str] = ()) -> Overlap:
    """How many of the asked questions occur among questions and texts.

    A question is exact if it equals one of `questions`, or if a text quotes it word for word and names all its options;
    quotes are looked for only if they are at least one run long.
    """
    quotes = _Quotes(asked)
    keys = list(map(_key, asked))
    found = dict.fromkeys(keys, False)
    for question in questions:
        key = _key(question)
        if key in found:
            found[key] = True
        quotes.pass_by(_wording(question))
    for text in texts:
        quotes.pass_by(words_of(text), may_quote=True)
    exact = [quoted or found[key] for quoted, key in zip(quotes.quoted, keys, strict=True)]
    runs = [(sum(map(quotes.seen.__getitem__, each)), len(each)) for each in map(_list_of_runs, quotes.wordings)]
    total = sum(count for _, count in runs)
    return Overlap(
        exact=sum(exact),
        near=sum(same or _is_near(seen, count) for same, (seen, count) in zip(exact, runs, strict=True)),
        any=sum(same or seen > 0 for same, (seen, _) in zip(exact, runs, strict=True)),
        short=sum(not count for _, count in runs),
        covered=sum(seen for seen, _ in runs) / total if total else 0.0,
    )


class _Quotes:
    """The runs of words of the asked questions, and which of them other texts hold."""

    def __init__(self, asked: Sequence[Question]) -> None:
        self.wordings = [_wording(question) for question in asked]
        self.options = [list(filter(None, map(words_of, question.choices or ()))) for question in asked]
        self.quoted = [False] * len(asked)
        self.seen = dict.fromkeys((run for wording in self.wordings for run in _runs(wording)), False)
        self.lengths: dict[str, set[int]] = {}
        self.whole: dict[str, list[int]] = {}
        for number, wording in enumerate(self.wordings):
            for first in _list_of_runs(wording)[:1]:
                self.lengths.setdefault(first, set()).add(len(wording))
                self.whole.setdefault(" ".join(wording), []).append(number)

    def pass_by(self, words: Sequence[str], may_quote: bool = False) -> None:
        """Marks the runs that occur among the words; with `may_quote` also the questions that stand there whole."""
        for start, run in enumerate(_runs(words)):
            if run in self.seen:
                self.seen[run] = True
                for length in self.lengths.get(run, ()) if may_quote else ():
                    self._mark_quoted(" ".join(words[start : start + length]), words)

    def _mark_quoted(self, passage: str, words: Sequence[str]) -> None:
        for number in self.whole.get(passage, ()):
            options = self.options[number]
            if not self.quoted[number] and (not options or _holds_all(words, options)):
                self.quoted[number] = True


def words_of(text: str) -> list[str]:
    """The words of a text in their order, in the form in which they are compared."""
    return _WORD.findall(_plain(text))


def _plain(text: str) -> str:
    """The text in lower case, in one form of Unicode, without characters that nobody sees."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold()))


def _wording(question: Question) -> list[str]:
    return words_of(f"{question.context or ''}\n{question.text}")


def _key(question: Question) -> _Key:
    """What equal questions share."""
    return _signs(question.context or ""), _signs(question.text), frozenset(map(_signs, question.choices or ()))


def _signs(text: str) -> tuple[str, ...]:
    """Words and signs; of a text with nothing but marks of prose, the marks themselves."""
    plain = _plain(text)
    return tuple(_WORD_OR_SIGN.findall(plain) or plain.split())


def _runs(words: Sequence[str]) -> Iterator[str]:
    return (" ".join(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1))


def _list_of_runs(words: Sequence[str]) -> list[str]:
    return list(_runs(words))


def _is_near(seen: int, count: int) -> bool:
    return count > 0 and 100 * seen >= NEAR_PERCENT * count


def _holds_all(words: Sequence[str], options: Iterable[Sequence[str]]) -> bool:
    text = f" {' '.join(words)} "
    return all(f" {' '.join(option)} " in text for option in options)
