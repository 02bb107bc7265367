"""Tasks whose answer is one of the question's options: CommonsenseQA, StrategyQA, the generated trait choice."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from functools import lru_cache

from benchmark.tasks.statements import before_the_reason, statements, unadorned
from benchmark.tasks.steps import WrittenSteps
from benchmark.types import Example, Question

EXTRACTOR_VERSION = 3
"""Goes up whenever the same text is read differently than before; `docs/answer-extraction.md` lists the versions."""


@dataclass(frozen=True)
class MultipleChoice(WrittenSteps):
    """A choice among options; the answer is the option's text.

    Strict reading: the text is an option, its letter or both. Flexible reading: the option that the text states as its
    answer, or else the only option that the text names. Letters count only if `item` shows them.
    """

    name: str = field(default="multiple_choice", init=False)
    """The name of the family of tasks."""
    heading: str = "\nAnswer choices:\n"
    """The text between question and options."""
    item: str = "({letter}) {choice}"
    """The template of one option, from `{letter}` and `{choice}`."""
    separator: str = "\n"
    """The text between two options."""
    extractor_version: int = field(default=EXTRACTOR_VERSION, init=False)
    """The version of the rules that read answers."""

    def show(self, question: Question) -> str:
        """The question's text followed by its options. Raises ValueError for more than 26 options with letters."""
        shown = _lettered(question) if self._shows_letters else [("", choice) for choice in question.choices or ()]
        items = [self.item.format(letter=letter, choice=choice) for letter, choice in shown]
        text = f"{question.context}\n{question.text}" if question.context else question.text
        return text + self.heading + self.separator.join(items)

    def parse(self, question: Question, text: str) -> str | None:
        """The option that `text` is, by its text, its letter or both; None for no option, or if the two disagree.

        Letter case and a final full stop do not count, unless two options differ in nothing else.
        """
        if text.strip() in (question.choices or ()):
            return text.strip()
        said = _fold(unadorned(text))
        alike = {choice for choice in question.choices or () if _fold(choice) in (said, _fold(text))}
        if alike:
            return _only(alike)
        return self._by_letter(question, said)

    def parse_flexibly(self, question: Question, text: str) -> str | None:
        """The option that `text` states, or else begins with, or else the only one that it names.

        None if it names no option or several, or if a letter and an option's text disagree.
        """
        strictly = self.parse(question, text)
        if strictly is not None or self._contradicts(question, text):
            return strictly
        for statement in statements(text):
            stated = self._stated(question, statement)
            if stated:
                return _only(stated)
        said_first = self.parse(question, before_the_reason(text)) or self._opening(question, text)
        return said_first or _only(self._named(question, text))

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether the answer is the text of the gold option; None is wrong."""
        return answer is not None and answer == example.answer

    @property
    def _shows_letters(self) -> bool:
        return "{letter" in self.item

    def _by_letter(self, question: Question, said: str) -> str | None:
        found = _LETTER_AND_TEXT.fullmatch(said)
        if found is None or not self._shows_letters:
            return None
        choice = dict(_lettered(question)).get(found[1] or found[2])
        return choice if choice is not None and found[3] in ("", _fold(choice)) else None

    def _contradicts(self, question: Question, text: str) -> bool:
        """Whether a text is a letter and the text of another option."""
        found = _LETTER_AND_TEXT.fullmatch(_fold(unadorned(text)))
        options = {_fold(choice) for choice in question.choices or ()}
        return found is not None and self._shows_letters and found[3] in options and not self.parse(question, text)

    def _stated(self, question: Question, statement: str) -> Set[str | None]:
        if self._contradicts(question, statement):
            return {None}
        for part in (statement, before_the_reason(statement), statement.partition(". ")[0]):
            said = self.parse(question, part)
            if said is not None:
                return {said}
        return self._named(question, statement)

    def _opening(self, question: Question, text: str) -> str | None:
        """The option that is a text's whole first sentence."""
        found = _OPENING.match(text)
        return self.parse(question, found[1]) if found and len(found[1].strip()) > 1 else None

    def _named(self, question: Question, text: str) -> Set[str | None]:
        """The options that a text names and does not negate, with None for a letter that no option has."""
        return set(_mentions(question, " ".join(text.split()).casefold(), self._shows_letters))


def _lettered(question: Question) -> list[tuple[str, str]]:
    choices = question.choices or ()
    if len(choices) > len(string.ascii_lowercase):
        raise ValueError(
            f"question {question.id!r} has {len(choices)} 'choices'; there are letters for 26: give fewer, or leave "
            "{letter} out of dataset.task.item"
        )
    return list(zip(string.ascii_lowercase, choices, strict=False))


def _fold(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").casefold()


def _only(named: Set[str | None]) -> str | None:
    return next(iter(named)) if len(named) == 1 else None


# --- options in a text -----------------------------------------------------------------------------------------------

_LETTER_AND_TEXT = re.compile(r"(?:(?:option|choice) )?(?:\(([a-z])\)[.:]?|([a-z])(?:[.):]|$)) ?(.*)")
_OPENING = re.compile(r"\s{0,9}([^.!?\n]{1,200})[.!]\s")
_LETTER = (
    r"(?<!\w)\((?P<bracketed>[a-z])\)"
    r"|\b(?:option|choice) (?:(?P<letter>[b-z])(?!\w)|(?P<a>a)(?=[.,;:)]|$| (?:is|was|because|since|as|or|and)\b))"
)
_NEGATED = re.compile(
    r"(?:\b(?:not|cannot|never|neither|nor|except|rather than|instead of)|n['’]t)"
    r"(?: (?:be|necessarily|simply|an?|the|option|choice))* ?$"
)
_NEGATION_REACHES = 40


def _mentions(question: Question, text: str, letters: bool) -> Iterator[str | None]:
    by_letter, by_text = dict(_lettered(question) if letters else ()), _by_text(question.choices or ())
    letter_end, letter_negated = -1, False
    for match in _pattern(tuple(by_text), letters).finditer(text):
        before = text[max(0, match.start() - _NEGATION_REACHES) : match.start()]
        negated = _NEGATED.search(before) is not None
        letter = match["bracketed"] or match["letter"] or match["a"] if letters else None
        if letter is not None:
            letter_end, letter_negated = match.end(), negated
        elif not text[letter_end : match.start()].strip(" .:") and letter_end >= 0:
            negated = letter_negated  # `not (a) river bank` negates both
        if not negated:
            yield from by_text[match["text"]] if letter is None else (by_letter.get(letter),)


@lru_cache(maxsize=1024)
def _by_text(choices: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The options by their folded text, without single-letter options: those look like the article `a`."""
    folded: dict[str, list[str]] = {}
    for choice in choices:
        key = _fold(choice)
        if key and not (len(key) == 1 and key.isalpha()):
            folded.setdefault(key, []).append(choice)
    return {key: tuple(same) for key, same in folded.items()}


@lru_cache(maxsize=1024)
def _pattern(texts: tuple[str, ...], letters: bool) -> re.Pattern[str]:
    """Finds letters and texts from left to right; where two texts begin alike, the longer one."""
    longest_first = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    words = rf"(?<!\w)(?<![0-9][.,])(?P<text>{longest_first})(?!\w)(?![.,][0-9])" if texts else r"(?P<text>(?!))"
    return re.compile(f"{_LETTER}|{words}" if letters else words)
