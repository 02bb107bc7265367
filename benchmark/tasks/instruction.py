"""Instructions with a written reference (Dolly, Self-Instruct). No answer is simply right, so ROUGE-L grades them."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmark.tasks.rouge import rouge_absence, rouge_l
from benchmark.tasks.steps import WrittenSteps
from benchmark.types import Example, Question

EXTRACTOR_VERSION = 2
"""Goes up whenever the same text is read differently than before."""


@dataclass(frozen=True)
class Instruction(WrittenSteps):
    """A free text, graded by the F1 of ROUGE-L (Lin, 2004) against the reference.

    ROUGE-L compares lower-case words of letters and digits, without stemming.
    """

    name: str = field(default="instruction", init=False)
    metric: str = field(default="rouge_l", init=False)
    extractor_version: int = field(default=EXTRACTOR_VERSION, init=False)

    def __post_init__(self) -> None:
        if (why := rouge_absence()) is not None:
            raise ValueError(f"task instruction needs {why}")

    def show(self, question: Question) -> str:
        """The instruction, before its input where it has one."""
        return f"{question.text}\n\n{question.context}" if question.context else question.text

    def parse(self, question: Question, text: str) -> str | None:
        """The whole text without white space around it; None if that is empty."""
        return text.strip() or None

    def parse_flexibly(self, question: Question, text: str) -> str | None:
        """As `parse`: the whole text is the answer."""
        return self.parse(question, text)

    def is_correct(self, example: Example, answer: str | None) -> bool:
        """Whether the text equals the reference, apart from white space. The task's metric uses `grade` instead."""
        return answer is not None and answer.split() == example.answer.split()

    def grade(self, example: Example, answer: str | None) -> float:
        """The F1 of ROUGE-L, in [0, 1]; 0 for no answer."""
        if answer is None:
            return 0.0
        return rouge_l(example.answer, answer)
