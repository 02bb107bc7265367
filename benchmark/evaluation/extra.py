"""Further test sets: what a student can do beside the dataset that it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.evaluation.accuracy import Evaluation
from benchmark.tasks.dataset import folded
from benchmark.types import Question


@dataclass(frozen=True)
class ExtraTest:
    """A student's answers to a further test set, and how many of its questions the student may have learnt from."""

    dataset: str
    evaluation: Evaluation
    questions_seen_in_pool: int


def count_seen(asked: Sequence[Question], learnt: Iterable[Question]) -> int:
    """How many of the asked questions are among those learnt from, choices included, whatever their order."""
    known = {_key(question) for question in learnt}
    return sum(_key(question) in known for question in asked)


def _key(question: Question) -> tuple[str, str, frozenset[str]]:
    return folded(question.context or ""), folded(question.text), frozenset(map(folded, question.choices or ()))
