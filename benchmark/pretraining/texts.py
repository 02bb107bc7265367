"""The texts that the base of `student=tiny_warm` learns: easier questions than any generated dataset asks.

No split can hold one of these questions, whatever its seed and size:

- **Sums** have two terms (`4+3`), where a chain sum has three or more; or they begin with a sign or with two digits
  (`-7+2-4`, `17-5+3`), where a chain sum begins with one digit.
- **Traits** are asked for one at a time (`big?`), or two of at most four things, where a trait choice asks for two
  traits of five things.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmark.tasks.trait_choice import THINGS, TRAITS_OF

MOST_TERMS = 3
"""How many terms a sum may have; the fewest are two."""
LARGEST_START = 18
"""The largest first number of a sum, and the largest below zero."""
KNOWN_THINGS = THINGS[::2]
"""The things that the texts name. Of the others a student knows nothing before its training."""
MOST_THINGS = {1: 5, 2: 4}
"""Number of traits that a question asks for -> how many things it may show; the fewest are two."""
SHARE_OF_SUMS = 0.5
"""The share of sums among the questions; the rest asks for traits."""
FORMATS = {
    "answer": ("{question}", "{answer}"),
    "rationale, then answer": ("{question}", "{rationale}#{answer}"),
    "answer, then rationale": ("{question}", "{answer}#{rationale}"),
    "label of step by step": ("predict: {question}", "{answer}"),
    "rationale of step by step": ("explain: {question}", "{rationale}"),
}
"""Name -> templates of prompt and reply. All are equally frequent, so that no format is favoured."""


@dataclass(frozen=True)
class Worked:
    """A question with its solution, as plain text."""

    question: str
    rationale: str
    answer: str


@dataclass(frozen=True)
class Text:
    """What the base is asked, and what it learns to reply."""

    prompt: str
    reply: str
    bare: bool
    """Whether the reply is an answer without a rationale."""


def draw(generator: random.Random) -> Text:
    """A random question in a random format."""
    worked = draw_sum(generator) if generator.random() < SHARE_OF_SUMS else draw_trait(generator)
    prompt, reply = FORMATS[generator.choice(list(FORMATS))]
    return Text(prompt.format(**vars(worked)), reply.format(**vars(worked)), bare="rationale" not in reply)


def draw_sum(generator: random.Random) -> Worked:
    """A sum of two or three terms; all but the first have one digit."""
    terms = generator.randint(2, MOST_TERMS)
    numbers = range(-LARGEST_START, LARGEST_START + 1)
    total = generator.choice(numbers if terms == 2 else [number for number in numbers if not 0 <= number <= 9])
    question, steps = str(total), []
    for _ in range(terms - 1):
        term = generator.choice("+-") + str(generator.randrange(10))
        steps.append(f"{total}{term}={total + int(term)}")
        total += int(term)
        question += term
    return Worked(question, ";".join(steps), str(total))


def draw_trait(generator: random.Random) -> Worked:
    """One trait or two, and some things, of which exactly one has all that is asked for."""
    answer = generator.choice(KNOWN_THINGS)
    asked = sorted(generator.sample(TRAITS_OF[answer], generator.choice(list(MOST_THINGS))))
    lacking = [thing for thing in KNOWN_THINGS if not set(asked) <= set(TRAITS_OF[thing])]
    things = [answer, *generator.sample(lacking, generator.randint(1, MOST_THINGS[len(asked)] - 1))]
    generator.shuffle(things)
    found = [f"{thing}:{','.join(trait for trait in asked if trait in TRAITS_OF[thing])}" for thing in things]
    return Worked(f"{','.join(asked)}?\n{','.join(things)}", ";".join(found), answer)
