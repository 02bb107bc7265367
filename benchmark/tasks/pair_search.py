"""Pair search: five one-digit numbers and a target, and exactly one pair of the numbers that adds up to it.

A question reads `3 8 5 9 1=14?`, its rationale is the proof `5+9=14`, its answer the larger number of the pair, `9`.
The numbers of that pair differ; others may repeat. At least two numbers could be the answer by their size alone (more
than half of the target, and not above it), so that it takes a search to tell; `think` writes such a search out.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import cache
from itertools import combinations, combinations_with_replacement

from benchmark.tasks.guard import refuse_undeclared_gold
from benchmark.tasks.steps import SEPARATOR, StepCheck, checked_against
from benchmark.types import Example, Question

SIZE = 5
"""How many numbers a question shows."""

PREFIX = "pair_search/"
"""What the id of an example starts with; the numbers in ascending order and the target follow."""

Pair = tuple[int, int]


def examples(count: int, generator: random.Random, taken: set[str]) -> list[Example]:
    """Draws `count` examples with distinct questions, none of them in `taken`, and adds their ids to `taken`.

    Questions that differ only in the order of their numbers are equal. An entry of `taken` may be the id of a question
    or its text.

    Raises:
        ValueError: if fewer than `count` questions are left; nothing is drawn then.
    """
    seen = {_key(text) for text in taken}
    left = [key for key in _all_keys() if key not in seen]
    if count > len(left):
        raise ValueError(f"pair_search has at most {len(left)} questions left, not {count}")
    return [_written(key, generator, taken) for key in generator.sample(left, count)]


def solve(question: Question) -> tuple[str, str]:
    """Solves the question; returns the rationale and the answer."""
    refuse_undeclared_gold("solved a question")
    numbers, target = _read(question.text)
    first, second = _right_pair(numbers, target)
    return f"{first}+{second}={target}", str(max(first, second))


def solve_wrongly(question: Question, generator: random.Random) -> tuple[str, str]:
    """Takes a wrong pair for the right one; returns the false proof and the wrong answer."""
    refuse_undeclared_gold("had a question solved wrongly")
    numbers, target = _read(question.text)
    answer = max(_right_pair(numbers, target))
    first, second = generator.choice([pair for pair in combinations(numbers, 2) if max(pair) != answer])
    return f"{first}+{second}={target}", str(max(first, second))


def argue(question: Question, answer: str) -> str:
    """The proof for a given answer; for a wrong one a false proof, with the first pair whose larger number it is.

    Raises ValueError if the answer is not the larger number of any pair.
    """
    numbers, target = _read(question.text)
    if answer == solve(question)[1]:
        return solve(question)[0]
    pairs = [pair for pair in combinations(numbers, 2) if max(pair) == int(answer)]
    if not pairs:
        raise ValueError(f"{answer!r} is not the larger number of any pair in {question.id!r}")
    return f"{pairs[0][0]}+{pairs[0][1]}={target}"


def think(question: Question, generator: random.Random) -> str:
    """The trace of a search: `3+8=11 no;3+5=8 no;5+9=14 yes;14-9=5 ok`, ended by a check of the pair that it found.

    It goes through the pairs in their order, from a drawn one on, and from the last on to the first. Equal pairs are
    tried once.
    """
    refuse_undeclared_gold("had a question thought through")
    numbers, target = _read(question.text)
    pairs = list(dict.fromkeys(combinations(numbers, 2)))
    begin = generator.randrange(len(pairs))
    tries = [*pairs[begin:], *pairs[:begin]]
    right = _right_pair(numbers, target)
    dead_ends = [f"{first}+{second}={first + second} no" for first, second in tries[: tries.index(right)]]
    found, check = f"{right[0]}+{right[1]}={target} yes", f"{target}-{max(right)}={min(right)} ok"
    return SEPARATOR.join([*dead_ends, found, check])


def check_steps(question: Question, rationale: str) -> StepCheck:
    """Counts the proof as the one step that is needed; its two numbers may stand in any order."""
    return checked_against(solve(question)[0], rationale, _with_ordered_sum)


def _written(key: str, generator: random.Random, taken: set[str]) -> Example:
    """The example of a key, its numbers in a drawn order; adds the key to `taken`."""
    taken.add(key)
    numbers, target = _read(key)
    generator.shuffle(numbers)
    text = f"{' '.join(map(str, numbers))}={target}?"
    rationale, answer = solve(Question(key, text))
    return Example(key, text, answer, rationale=rationale)


@cache
def _all_keys() -> tuple[str, ...]:
    """The ids of all questions, in a fixed order."""
    return tuple(
        _key_of(numbers, target)
        for numbers in combinations_with_replacement(range(10), SIZE)
        for target in _targets(numbers)
    )


def _targets(numbers: tuple[int, ...]) -> list[int]:
    """The sums of exactly one pair, whose numbers differ, where size alone does not give the answer away."""
    pairs = list(combinations(numbers, 2))
    times = Counter(map(sum, pairs))
    unique = [first + second for first, second in pairs if times[first + second] == 1 and first != second]
    return [target for target in unique if len(_possible(numbers, target)) > 1]


def _possible(numbers: tuple[int, ...], target: int) -> set[int]:
    """The numbers that are large enough to be the larger one of the pair, and not too large."""
    return {number for number in numbers if target / 2 < number <= target}


def _key(text: str) -> str:
    """The id of the question that `text` states; a text without numbers states none, and gives an id of no question."""
    numbers, target = _read(text) if re.search(r"\d", text) else ([], 0)
    return _key_of(sorted(numbers), target)


def _key_of(numbers: list[int] | tuple[int, ...], target: int) -> str:
    return f"{PREFIX}{' '.join(map(str, numbers))}={target}"


def _read(text: str) -> tuple[list[int], int]:
    """(numbers in their order, target) of a question's text or id."""
    *numbers, target = map(int, re.findall(r"\d+", text))
    return numbers, target


def _right_pair(numbers: list[int], target: int) -> Pair:
    """The pair that adds up to the target, in the order of the question."""
    [pair] = [pair for pair in combinations(numbers, 2) if sum(pair) == target]
    return pair


def _with_ordered_sum(step: str) -> str:
    """The step with the smaller number first and without white space around its signs."""
    step = re.sub(r"\s*([+=])\s*", r"\1", step.strip())
    terms, equals, result = step.partition("=")
    return f"{'+'.join(sorted(terms.split('+')))}{equals}{result}"
