"""Chain sums: add and subtract one-digit terms, three to six or as many as `ChainSums` says, one step at a time.

A question reads `4+3-5`, its rationale `4+3=7;7-5=2`, its answer `2`. Running totals may be negative.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.tasks.guard import refuse_undeclared_gold
from benchmark.tasks.steps import StepCheck, checked_against
from benchmark.types import Example, Question

LENGTHS = (3, 4, 5, 6)
"""How many terms a question may have; every number of terms is equally frequent."""

PREFIX = "chain_sum/"
"""What the id of an example starts with; the question's text follows."""


@dataclass(frozen=True)
class ChainSums:
    """The same task with another number of terms, every number from `fewest_terms` to `most_terms` equally frequent."""

    fewest_terms: int
    most_terms: int

    def __post_init__(self) -> None:
        if not 2 <= self.fewest_terms <= self.most_terms:
            raise ValueError(
                f"fewest_terms={self.fewest_terms} and most_terms={self.most_terms}: a chain sum has at least 2 terms, "
                "and most_terms is not below fewest_terms"
            )

    def examples(self, count: int, generator: random.Random, taken: set[str]) -> list[Example]:
        """As the module's function `examples`, with these numbers of terms."""
        return _draw_distinct(count, generator, taken, range(self.fewest_terms, self.most_terms + 1))

    def solve(self, question: Question) -> tuple[str, str]:
        """As the module's function `solve`."""
        return solve(question)

    def solve_wrongly(self, question: Question, generator: random.Random) -> tuple[str, str]:
        """As the module's function `solve_wrongly`."""
        return solve_wrongly(question, generator)

    def argue(self, question: Question, answer: str) -> str:
        """As the module's function `argue`."""
        return argue(question, answer)

    def check_steps(self, question: Question, rationale: str) -> StepCheck:
        """As the module's function `check_steps`."""
        return check_steps(question, rationale)


def examples(count: int, generator: random.Random, taken: set[str]) -> list[Example]:
    """Draws `count` examples with distinct questions, none of them in `taken`, and adds their texts to `taken`.

    Raises:
        ValueError: if fewer than `count` questions are left; nothing is drawn then.
    """
    return _draw_distinct(count, generator, taken, LENGTHS)


def solve(question: Question) -> tuple[str, str]:
    """Solves the question; returns the rationale and the answer."""
    refuse_undeclared_gold("solved a question")
    return _write_chain(_terms(question.text))


def solve_wrongly(question: Question, generator: random.Random) -> tuple[str, str]:
    """Makes one step wrong by one to three and continues from its result; returns rationale and wrong answer."""
    refuse_undeclared_gold("had a question solved wrongly")
    terms = _terms(question.text)
    slip = generator.choice((-3, -2, -1, 1, 2, 3))
    return _write_chain(terms, wrong_step=generator.randrange(1, len(terms)), slip=slip)


def argue(question: Question, answer: str) -> str:
    """A rationale for a given answer; of a wrong one the last step is wrong. Raises ValueError for no whole number."""
    terms, slip = _terms(question.text), int(answer) - int(solve(question)[1])
    return _write_chain(terms, wrong_step=len(terms) - 1, slip=slip)[0]


def check_steps(question: Question, rationale: str) -> StepCheck:
    """Counts the steps that continue from the true running total, take the next term and have the right result."""
    return checked_against(solve(question)[0], rationale, _without_spaces)


def _draw_distinct(count: int, generator: random.Random, taken: set[str], lengths: Sequence[int]) -> list[Example]:
    left = _questions_left(taken, lengths)
    if count > sum(left.values()):
        raise ValueError(f"chain_sum has at most {sum(left.values())} questions left, not {count}")
    drawn: list[Example] = []
    while len(drawn) < count:
        length = generator.choice([length for length in lengths if left[length]])
        text = _draw(length, generator)
        if text in taken:
            continue
        taken.add(text)
        left[length] -= 1
        rationale, answer = solve(Question(PREFIX + text, text))
        drawn.append(Example(PREFIX + text, text, answer, rationale=rationale))
    return drawn


def _questions_left(taken: set[str], lengths: Iterable[int]) -> Counter[int]:
    """Counts the questions of each length that are not in `taken`."""
    left = Counter({length: 10**length * 2 ** (length - 1) for length in lengths})
    for text in taken:
        if re.fullmatch(r"\d([+-]\d)+", text, flags=re.ASCII) and (len(text) + 1) // 2 in left:
            left[(len(text) + 1) // 2] -= 1
    return left


def _draw(length: int, generator: random.Random) -> str:
    """Writes a random question of `length` terms."""
    rest = "".join(generator.choice("+-") + str(generator.randrange(10)) for _ in range(length - 1))
    return str(generator.randrange(10)) + rest


def _terms(text: str) -> list[str]:
    """Splits a question into its terms, each with its sign; the first has none."""
    return re.findall(r"[+-]?\d", text)


def _write_chain(terms: list[str], wrong_step: int = 0, slip: int = 0) -> tuple[str, str]:
    """Writes the running totals; the result of step `wrong_step` (the first is 1) is off by `slip`."""
    total = int(terms[0])
    steps = []
    for index, term in enumerate(terms[1:], start=1):
        result = total + int(term) + (slip if index == wrong_step else 0)
        steps.append(f"{total}{term}={result}")
        total = result
    return ";".join(steps), str(total)


def _without_spaces(step: str) -> str:
    """The step without white space around its signs. White space inside a number stays, and makes the step wrong."""
    return re.sub(r"\s*([+=-])\s*", r"\1", step.strip())
