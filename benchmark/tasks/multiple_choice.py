"""Tasks whose answer is one of the question's options: CommonsenseQA, StrategyQA, the generated trait choice."""

from __future__ import annotations

import string
from dataclasses import dataclass, field

from benchmark.types import Example, Question

EXTRACTOR_VERSION = 1


@dataclass(frozen=True)
class MultipleChoice:
    """A choice among options; the answer is the option's text.

    `item` renders one option from `{letter}` and `{choice}`; `heading` stands before the options, `separator` between.
    """

    name: str = field(default="multiple_choice", init=False)
    heading: str = "\nAnswer choices:\n"
    item: str = "({letter}) {choice}"
    separator: str = "\n"
    extractor_version: int = field(default=EXTRACTOR_VERSION, init=False)

    def show(self, question: Question) -> str:
        """The question's text followed by its options."""
        items = [self.item.format(letter=letter, choice=choice) for letter, choice in _lettered(question)]
        text = f"{question.context}\n{question.text}" if question.context else question.text
        return text + self.heading + self.separator.join(items)

    def parse(self, question: Question, text: str) -> str | None:
        """The option that `text` names, by its text or by `(letter)`.

        Letter case and a final full stop may differ, unless that makes the difference between two options.
        """
        if text.strip() in (question.choices or ()):
            return text.strip()
        said = _fold(text)
        for letter, choice in _lettered(question):
            if said in (_fold(choice), f"({letter})", f"({letter}) {_fold(choice)}"):
                return choice
        return None

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether the chosen option's text is the gold option's."""
        return answer is not None and answer == example.answer


def _lettered(question: Question) -> list[tuple[str, str]]:
    choices = question.choices or ()
    if len(choices) > len(string.ascii_lowercase):
        raise ValueError(f"question {question.id!r} has {len(choices)} options; there are letters for 26")
    return list(zip(string.ascii_lowercase, choices, strict=False))


def _fold(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").casefold()
