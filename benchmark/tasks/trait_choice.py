"""Trait choice: five things, two traits, and exactly one thing that has both.

A question reads `big,hot?` and its choices `ape,fan,ewe,emu,bed`; the rationale goes through the choices and says which
of the two traits each one has, `ape:big;fan:hot;ewe:big,hot;emu:;bed:hot`; the answer is the text of a choice, `ewe`.
Which thing has which traits is fixed, but no text says it: a student must learn it from its training examples.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from itertools import combinations
from math import comb

from benchmark.tasks.guard import refuse_undeclared_gold
from benchmark.tasks.steps import StepCheck, checked_against
from benchmark.types import Example, Question

TRAITS = ("big", "dry", "fat", "hot", "new", "odd", "red")
"""All traits; every thing has three of them."""

# The order of the things decides their traits; it is jumbled so that the spelling of a thing gives nothing away.
# fmt: off
THINGS = (
    "ape", "boa", "hog", "cod", "cup", "bat", "dog", "ant", "cat", "ewe", "bag", "elk", "fly", "bee", "car",
    "fox", "hen", "box", "eel", "cow", "axe", "bed", "bun", "bus", "jar", "fan", "hut", "auk", "emu", "doe",
    "hat", "gnu", "bug", "cub", "cap",
)
# fmt: on
"""All things; every choice is one of them."""

TRAITS_OF = dict(zip(THINGS, combinations(TRAITS, 3), strict=True))
"""The three traits of each thing. Every set of three occurs once, so all traits and all pairs are equally frequent."""

HALF_RIGHT = 3
"""How many choices have exactly one of the two traits."""

UNRELATED = 1
"""How many choices have neither of the two traits."""

PREFIX = "trait_choice/"
"""What the id of an example starts with; the traits and the choices in alphabetical order follow."""


def examples(count: int, generator: random.Random, taken: set[str]) -> list[Example]:
    """Draws `count` examples with distinct questions, none of them in `taken`, and adds their ids to `taken`.

    Questions that differ only in the order of their choices are equal. An entry of `taken` may be an id, or any text
    that names the traits and the choices of a question and no other things.

    Raises:
        ValueError: if fewer than `count` questions are left; nothing is drawn then.
    """
    seen = {key for key in map(_key, sorted(taken)) if _is_key(key)}
    left = _count_questions() - len(seen)
    if count > left:
        raise ValueError(f"trait_choice has at most {left} questions left, not {count}")
    drawn: list[Example] = []
    while len(drawn) < count:
        question = _draw(generator)
        if question.id in seen:
            continue
        seen.add(question.id)
        taken.add(question.id)
        rationale, answer = solve(question)
        drawn.append(Example(question.id, question.text, answer, question.choices, rationale))
    return drawn


def solve(question: Question) -> tuple[str, str]:
    """Solves the question; returns the rationale and the answer."""
    refuse_undeclared_gold("solved a question")
    return _write_lookup(question, TRAITS_OF)


def solve_wrongly(question: Question, generator: random.Random) -> tuple[str, str]:
    """Confuses the right choice with another one; returns rationale and wrong answer."""
    _, answer = solve(question)
    wrong = generator.choice([choice for choice in question.choices or () if choice != answer])
    return _write_lookup(question, _confused(answer, wrong))


def argue(question: Question, answer: str) -> str:
    """A rationale for a given choice; a wrong one is confused with the right one.

    Raises ValueError if the answer is no choice of the question.
    """
    if answer not in (question.choices or ()):
        raise ValueError(f"{answer!r} is no choice of {question.id!r}")
    return _write_lookup(question, _confused(solve(question)[1], answer))[0]


def check_steps(question: Question, rationale: str) -> StepCheck:
    """Counts the clauses that name the next choice and exactly the asked traits that it has, in any order."""
    return checked_against(solve(question)[0], rationale, _sorted_traits)


def _sorted_traits(clause: str) -> str:
    """The clause with its traits in alphabetical order and without white space around its words."""
    thing, colon, traits = clause.partition(":")
    return f"{thing.strip()}{colon}{','.join(sorted(trait.strip() for trait in traits.split(',')))}"


def _draw(generator: random.Random) -> Question:
    """Draws two traits and five choices, and shuffles the choices."""
    asked = sorted(generator.sample(TRAITS, 2))
    neither, one, both = _things_by_match(asked)
    choices = [*generator.sample(neither, UNRELATED), *generator.sample(one, HALF_RIGHT), generator.choice(both)]
    generator.shuffle(choices)
    text = ",".join(asked) + "?"
    return Question(_key(f"{text}{','.join(choices)}"), text, tuple(choices))


def _things_by_match(asked: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Sorts all things into those that have none, one and both of the asked traits."""
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    for thing in THINGS:
        groups[sum(trait in asked for trait in TRAITS_OF[thing])].append(thing)
    return groups


def _key(text: str) -> str:
    """The id of the question that `text` states."""
    words = sorted(set(re.findall("[a-z]+", text.removeprefix(PREFIX))))
    asked, choices = [word for word in words if word in TRAITS], [word for word in words if word in TRAITS_OF]
    return f"{PREFIX}{','.join(asked)}?{','.join(choices)}"


def _is_key(key: str) -> bool:
    """Whether `_draw` could draw a question with this id."""
    asked, choices = (part.split(",") for part in key.removeprefix(PREFIX).split("?"))
    if len(asked) != 2 or not all(choices):
        return False
    sizes = [len(set(group).intersection(choices)) for group in _things_by_match(asked)]
    return sizes == [UNRELATED, HALF_RIGHT, 1]


def _count_questions() -> int:
    """Counts all questions; every pair of traits has equally many."""
    neither, one, both = _things_by_match([TRAITS[0], TRAITS[1]])
    return comb(len(TRAITS), 2) * comb(len(neither), UNRELATED) * comb(len(one), HALF_RIGHT) * len(both)


def _confused(one: str, other: str) -> Mapping[str, tuple[str, ...]]:
    """The traits of all things, after two things were taken for each other."""
    return {**TRAITS_OF, one: TRAITS_OF[other], other: TRAITS_OF[one]}


def _write_lookup(question: Question, traits_of: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    """Writes which asked traits each choice has; the answer is the choice that has both."""
    asked = question.text.removesuffix("?").split(",")
    steps, answer = [], ""
    for choice in question.choices or ():
        found = [trait for trait in asked if trait in traits_of[choice]]
        steps.append(f"{choice}:{','.join(found)}")
        if len(found) == len(asked):
            answer = choice
    return ";".join(steps), answer
