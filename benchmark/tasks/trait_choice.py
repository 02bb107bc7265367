"""Trait choice: five things, two traits, and exactly one thing that has both.

A question reads `big,red?` and its choices `cat,elk,owl,pig,yak`; the rationale goes through the choices and says which
of the two traits each one has, `cat:red;elk:big;owl:;pig:big,red;yak:big`; the answer is the text of a choice, `pig`.
Which thing has which traits is fixed but told nowhere: a student has to pick it up from its training examples.
"""

from __future__ import annotations

import random
from itertools import combinations
from math import comb

from benchmark.types import Example, Question

TRAITS = ("big", "fur", "hot", "odd", "red", "wet")
"""What a thing may be."""

THINGS = ("ant", "bee", "cat", "cow", "dog", "eel", "elk", "fly", "fox", "gnu")
THINGS += ("hen", "jay", "owl", "pig", "ram", "rat", "sow", "tit", "yak", "zho")
"""What there is; every thing has another three of the six traits, so no trait and no pair of traits is special."""

TRAITS_OF = dict(zip(THINGS, combinations(TRAITS, 3), strict=True))
"""The traits of each thing."""

HALF_RIGHT = 3
"""How many choices have just one of the two traits; one has both, the rest have neither."""

UNRELATED = 1
"""How many choices have neither trait."""

PREFIX = "trait_choice/"
"""What the id of an example starts with; the traits and the choices follow."""


def examples(count: int, generator: random.Random, taken: set[str]) -> list[Example]:
    """Draws `count` examples with distinct questions, none of them in `taken`, and adds their keys to `taken`.

    A key is the question's text and its choices in alphabetical order: the order of the choices makes no new question.

    Raises:
        ValueError: if fewer than `count` questions are left; nothing is drawn then.
    """
    left = _capacity() - sum(key.startswith(PREFIX) for key in taken)
    if count > left:
        raise ValueError(f"trait_choice has at most {left} questions left, not {count}")
    drawn: list[Example] = []
    while len(drawn) < count:
        question = _draw(generator)
        if question.id in taken:
            continue
        taken.add(question.id)
        rationale, answer = solve(question)
        drawn.append(Example(question.id, question.text, answer, question.choices, rationale))
    return drawn


def solve(question: Question) -> tuple[str, str]:
    """Works out the question; returns the rationale and the answer."""
    return _write_lookup(question, TRAITS_OF)


def solve_wrongly(question: Question, generator: random.Random) -> tuple[str, str]:
    """Takes another choice to have both traits, and the right one to lack one; returns the rationale and the answer."""
    asked = tuple(question.text.rstrip("?").split(","))
    choices = question.choices or ()
    _, answer = solve(question)
    believed = {choice: TRAITS_OF[choice] for choice in choices}
    wrong = generator.choice([choice for choice in choices if choice != answer])
    believed[wrong] = asked
    believed[answer] = (generator.choice(asked),)
    return _write_lookup(question, believed)


def _capacity() -> int:
    """Counts the questions that there are."""
    pairs = comb(len(TRAITS), 2)
    both, one = len(TRAITS) - 2, 2 * comb(len(TRAITS) - 2, 2)
    return pairs * both * comb(one, HALF_RIGHT) * comb(len(THINGS) - both - one, UNRELATED)


def _draw(generator: random.Random) -> Question:
    """Draws two traits and five choices, and shuffles the choices."""
    asked = tuple(sorted(generator.sample(TRAITS, 2)))
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    for thing in THINGS:
        groups[len(set(asked).intersection(TRAITS_OF[thing]))].append(thing)
    choices = generator.sample(groups[0], UNRELATED) + generator.sample(groups[1], HALF_RIGHT)
    choices.append(generator.choice(groups[2]))
    generator.shuffle(choices)
    text = ",".join(asked) + "?"
    return Question(f"{PREFIX}{text}{','.join(sorted(choices))}", text, tuple(choices))


def _write_lookup(question: Question, traits_of: dict[str, tuple[str, ...]]) -> tuple[str, str]:
    """Writes which asked traits each choice has; the answer is the choice that has both."""
    asked = question.text.rstrip("?").split(",")
    steps, answer = [], ""
    for choice in question.choices or ():
        found = [trait for trait in asked if trait in traits_of[choice]]
        steps.append(f"{choice}:{','.join(found)}")
        if len(found) == len(asked):
            answer = choice
    return ";".join(steps), answer
