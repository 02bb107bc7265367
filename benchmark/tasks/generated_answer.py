"""Tasks whose answer is a number that the student writes out: chain sums, SVAMP, GSM8K."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from benchmark.types import Example, Question

EXTRACTOR_VERSION = 1
TOLERANCE = 1e-4
_NUMBER = re.compile(r"[$€£]?\s*([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[+-]?\.\d+)\s*%?")


@dataclass(frozen=True)
class GeneratedAnswer:
    """A free numeric answer, read strictly: the text must be one number, with at most a currency or percent sign."""

    name: str = field(default="generated_answer", init=False)
    extractor_version: int = field(default=EXTRACTOR_VERSION, init=False)

    def show(self, question: Question) -> str:
        """The question's text, after its context where it has one."""
        return f"{question.context}\n{question.text}" if question.context else question.text

    def parse(self, question: Question, text: str) -> str | None:
        """The number that `text` is, without thousands commas, plus sign and trailing zeros; None if it is none."""
        match = _NUMBER.fullmatch(text.strip().removesuffix("."))
        return _plain(match[1]) if match else None

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether both numbers agree within 1e-4."""
        gold = self.parse(example.without_gold(), example.answer)
        return answer is not None and gold is not None and abs(float(answer) - float(gold)) <= TOLERANCE


def _plain(number: str) -> str:
    number = number.replace(",", "").removeprefix("+")
    if "." in number:
        number = number.rstrip("0").removesuffix(".")
    return number
