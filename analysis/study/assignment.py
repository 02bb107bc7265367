"""Who rates what: every participant sees all methods equally often and no question twice."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from analysis.study.constructs import HIGHEST, LOWEST


class AssignmentError(ValueError):
    """No assignment has the wanted numbers; the message says which to change."""


@dataclass(frozen=True)
class Design:
    """How large a study is."""

    participants: int
    """People who are asked."""
    slots: int = 12
    """Explanations that each of them rates."""
    most_per_method: int = 3
    """The most explanations of one method that a person rates."""
    ratings_per_explanation: int = 3
    """How many people rate the same explanation, about; where there are too few questions, it is more."""
    attention_checks: int = 1
    """Pages per person that ask for one given number, to see who reads."""


@dataclass(frozen=True)
class Slot:
    """One page of a questionnaire: an explanation, or an attention check."""

    question: int = -1
    """The question's number, from 0; -1 in a check."""
    method: int = -1
    """The method's number, from 0; -1 in a check."""
    asked_for: int | None = None
    """The rating that an attention check asks for; None for an explanation."""


def questions_for(design: Design, num_methods: int, available: int) -> int:
    """How many questions the study uses: near what the wanted ratings need, and without a divisor shared with methods.

    Raises AssignmentError if the methods, or the questions that are there, do not fill the slots.
    """
    most = design.most_per_method * num_methods
    if most < design.slots:
        raise AssignmentError(
            f"{num_methods} methods at most {design.most_per_method} times each fill {most} of {design.slots} slots: "
            f"lower --slots to {most}, or raise --most-per-method to {math.ceil(design.slots / num_methods)}"
        )
    if available < design.slots:
        raise AssignmentError(
            f"{available} questions were explained by all methods, fewer than the {design.slots} slots of a person: "
            "explain more test questions, or lower --slots"
        )
    per_round = num_methods * design.ratings_per_explanation
    wanted = max(design.slots, round(design.participants * design.slots / per_round))
    fitting = [n for n in range(design.slots, available + 1) if math.gcd(n, num_methods) == 1]
    if not fitting:
        enough = next(n for n in itertools.count(available + 1) if math.gcd(n, num_methods) == 1)
        raise AssignmentError(
            f"every number of questions from {design.slots} (slots) to {available} (explained by all methods) has a "
            f"common divisor with {num_methods} methods, so that no balance is possible: explain {enough} test "
            "questions, or lower --slots"
        )
    return min(fitting, key=lambda n: (abs(n - wanted), n))


def assign(design: Design, num_methods: int, num_questions: int, seed: int) -> list[list[Slot]]:
    """One list of slots per participant, in the order that they are shown.

    The slot t of the whole study has question t mod Q and method t mod M. Where Q and M have no common divisor, Q * M
    slots in a row hold each explanation once, and a person's slots in a row hold each method equally often (within
    one) and no question twice. `seed` decides the order of pages and where the attention checks stand, never first.
    """
    if math.gcd(num_questions, num_methods) != 1:
        raise ValueError(f"{num_questions} questions and {num_methods} methods have a common divisor")
    if num_questions < design.slots:
        raise ValueError(f"{num_questions} questions do not fill {design.slots} slots without showing one twice")
    generator = np.random.default_rng([seed, 2])
    people = []
    for person in range(design.participants):
        numbers = range(person * design.slots, (person + 1) * design.slots)
        slots = [Slot(t % num_questions, t % num_methods) for t in generator.permutation(numbers).tolist()]
        for _ in range(design.attention_checks):
            place = int(generator.integers(1, len(slots) + 1))
            slots.insert(place, Slot(asked_for=int(generator.integers(LOWEST, HIGHEST + 1))))
        people.append(slots)
    return people
