"""Tasks whose answer is a number that the student writes out: chain sums, SVAMP, GSM8K."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from benchmark.tasks.statements import before_the_reason, plain_characters, statements, unadorned
from benchmark.tasks.steps import WrittenSteps
from benchmark.types import Example, Question

EXTRACTOR_VERSION = 3
"""Goes up whenever the same text is read differently than before; `docs/answer-extraction.md` lists the versions."""
TOLERANCE = 1e-4
"""The largest difference between a right answer and the gold answer."""
_CURRENCY = "[$€£¥]"
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_ONE_NUMBER = re.compile(
    rf"(?:([+-]?)(?:{_CURRENCY}\s*)?|{_CURRENCY}\s*([+-]))({_DIGITS})\s*(?:{_CURRENCY}|%)?", re.ASCII
)


@dataclass(frozen=True)
class GeneratedAnswer(WrittenSteps):
    """A free numeric answer.

    Strict reading: the text is one number, with at most a currency or percent sign and Markdown or LaTeX around it.
    Flexible reading: the number that the text states as its answer, or else the last number in the text.
    """

    name: str = field(default="generated_answer", init=False)
    extractor_version: int = field(default=EXTRACTOR_VERSION, init=False)

    def show(self, question: Question) -> str:
        """The question's text, after its context where it has one."""
        return f"{question.context}\n{question.text}" if question.context else question.text

    def parse(self, question: Question, text: str) -> str | None:
        """The number that `text` is, in canonical form (`1,200.50` becomes `1200.5`); None if it is not one number."""
        found = _ONE_NUMBER.fullmatch(unadorned(plain_characters(text)))
        return _canonical(found[1] or found[2] or "", found[3]) if found else None

    def parse_flexibly(self, question: Question, text: str) -> str | None:
        """The number that `text` states, or else its last one; None if it is part of a range, choice or open sum."""
        strictly = self.parse(question, text)
        if strictly is not None:
            return strictly
        text = plain_characters(text)
        for statement in statements(text):
            stated = _numbers(statement.rpartition("=")[2])
            if stated:
                return None if _joined(stated[:2]) else stated[0].value
        numbers = _numbers(text)
        last = None if _joined(numbers[-2:]) or not numbers else numbers[-1].value
        return self.parse(question, before_the_reason(text)) or last

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether answer and gold answer differ by at most 1e-4; None is wrong."""
        gold = self.parse(example.without_gold(), example.answer)
        return answer is not None and gold is not None and abs(float(answer) - float(gold)) <= TOLERANCE


def _canonical(sign: str, digits: str) -> str:
    """One text for one number: no commas, plus sign or needless zeros, and a zero before the point."""
    whole, _, fraction = digits.replace(",", "").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if sign == "-" and number != "0" else number


# --- numbers in a text -----------------------------------------------------------------------------------------------

_WORD = re.compile(r"(?:(?<![\w.])\.(?=[0-9]))?\w+(?:(?:[.,:/^]|(?<=[0-9][eE])[+-])(?=[0-9])\w+)*")
_NUMBER_AND_UNIT = re.compile(rf"({_DIGITS})(.*)", re.DOTALL)
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:am|pm)?", re.IGNORECASE)
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
_MULTIPLES = frozenset({"k", "K", "M", "B", "mn", "bn", "tn"})
_MULTIPLE_BEHIND = re.compile(r"[\s-]{1,3}(?:hundred|thousand|million|billion|trillion)", re.IGNORECASE)
_NAME_BEFORE = re.compile(r"[^\W\d_]-$")
_SIGN_BEFORE = re.compile(rf"(?<![\w)\]}}%-])-{_CURRENCY}?$")
_JOINT = re.compile(
    r"""[^\S\n]+                                             # 3 4
    | [\s)\]}\\%$€£¥]*
      (?: [-–+*/×÷·^] | \}\{ | \\(?:times|cdot|div)           # 3 - 4, \frac{3}{4}
        | (?:[^\W\d_]+\s+)?\bor\b                             # 3 apples or 4
        | \b(?:and|to|x|times|plus|minus)\b )                 # 3 to 4
      [\s(\[{\\$€£¥+-]*""",
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST_JOINT = 40


@dataclass(frozen=True)
class _Number:
    """A number in a text. `value` is None for digits that are not a plain number, such as 3/4, 1e3 and 5k.

    `gap` is the text between it and the number before.
    """

    value: str | None
    gap: str | None


def _numbers(text: str) -> list[_Number]:
    """All numbers of a text; names (H2O, A-12), ordinals and times of day are none."""
    found: list[_Number] = []
    end: int | None = None
    for match in _WORD.finditer(text):
        word, before = match[0].strip("_"), text[max(0, match.start() - 3) : match.start()]
        if not _is_quantity(word, before):
            continue
        sign = "-" if _SIGN_BEFORE.search(before) else ""
        gap = None if end is None else text[end : match.start()][: _LONGEST_JOINT + 1]
        found.append(_Number(_value(sign, word, text[match.end() : match.end() + 12]), gap))
        end = match.end()
    return found


def _is_quantity(word: str, before: str) -> bool:
    if not word or word[0] not in "0123456789.":
        return False
    ordinal = word.lstrip("0123456789").lower() in _ORDINALS
    return not (ordinal or _CLOCK.fullmatch(word) or _NAME_BEFORE.search(before))


def _value(sign: str, word: str, behind: str) -> str | None:
    found = _NUMBER_AND_UNIT.fullmatch(word)
    if found is None:
        return None
    digits, unit = found.groups()
    multiplied = unit in _MULTIPLES or _MULTIPLE_BEHIND.match(behind)
    return None if multiplied or (unit and not unit.isalpha()) else _canonical(sign, digits)


def _joined(pair: list[_Number]) -> bool:
    """Whether two neighbours are alternatives, a range or an open sum, so that neither is the answer."""
    gap = pair[1].gap if len(pair) == 2 else None
    return gap is not None and len(gap) <= _LONGEST_JOINT and _JOINT.fullmatch(gap) is not None
