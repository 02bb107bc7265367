"""Label and rationale as two tasks on every question: what formats of several papers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from benchmark.types import Term


class LabelAndRationale:
    """`L = alpha * L_label + (1 - alpha) * L_rationale`, each a mean over its own tokens; a prefix names the task.

    At test only the label task runs. A format has the fields `alpha`, `label_prefix` and `rationale_prefix`.
    """

    alpha: float
    label_prefix: str
    rationale_prefix: str
    roles: ClassVar[frozenset[str]] = frozenset({"answer", "explain"})
    """`answer` is the label task, `explain` the rationale task."""
    answer_path: ClassVar[tuple[str, ...]] = ("answer",)
    """At test the student is asked for the label only."""
    explanation_path: ClassVar[tuple[str, ...]] = ("explain",)
    """Asked for an explanation, the student does the rationale task."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} is not between 0 (rationales only) and 1 (labels only)")
        if self.label_prefix == self.rationale_prefix:
            raise ValueError(f"label_prefix and rationale_prefix are both {self.label_prefix!r}")

    def read_explanation(self, text: str) -> str:
        """The whole text: the rationale task writes nothing else."""
        return text

    def before_answer(self, text: str) -> str | None:
        """None: the student writes nothing before the label."""
        return None

    def terms(self) -> Mapping[str, Term]:
        """One term per task, each with its own mean, so that long rationales do not outweigh the labels."""
        return {
            "label": Term(frozenset({"label"}), self.alpha),
            "rationale": Term(frozenset({"rationale"}), 1 - self.alpha),
        }
