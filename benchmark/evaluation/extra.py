"""Extra test sets: what a student can do on datasets that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.evaluation.accuracy import Evaluation
from benchmark.tasks.dataset import folded
from benchmark.types import Question


@dataclass(frozen=True)
class ExtraTest:
    """A student's answers to an extra test set."""

    dataset: str
    """The name of the test set's dataset."""
    evaluation: Evaluation
    questions_seen_in_pool: int
    """How many test questions are also in the pool that the student was trained from."""


def count_seen(asked: Sequence[Question], learnt: Iterable[Question]) -> int:
    """How many of the asked questions are also in `learnt`.

    Equal questions have the same context, text and set of choices; letter case and white space do not count.
    """
    known = {_key(question) for question in learnt}
    return sum(_key(question) in known for question in asked)


def _key(question: Question) -> tuple[str, str, frozenset[str]]:
    return folded(question.context or ""), folded(question.text), frozenset(map(folded, question.choices or ()))
