"""Extra test sets: what a student can do on datasets that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.evaluation.accuracy import Evaluation
from benchmark.evaluation.leaks import Leaks


@dataclass(frozen=True)
class ExtraTest:
    """A student's answers to an extra test set."""

    dataset: str
    """The name of the test set's dataset."""
    evaluation: Evaluation
    leaks: Leaks
    """What of the test set the student may have learnt from."""
