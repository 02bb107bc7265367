"""Distilling Step-by-Step (Hsieh et al., Findings of ACL 2023): label and rationale as tasks with a prefix each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmark.contract import DataRng, Requirements, Task
from benchmark.types import Annotation, Question, Request, Span, Term, TrainingExample


@dataclass(frozen=True)
class StepByStepFormat:
    """Two tasks on every question. At test only the label task runs, so the student writes no reasoning there.

    `L = alpha * L_label + (1 - alpha) * L_rationale` (equation 3, in the convex form of the released code). Both losses
    are means over their own tokens.
    """

    alpha: float = 0.5
    """The weight of the label task, in [0, 1]; the rationale task has the weight 1 - alpha."""
    labels: Literal["teacher", "human"] = "teacher"
    """Labels are the teacher's answers (the paper's "distillation" setting) or human answers ("fine-tuning")."""
    label_prefix: str = "predict: "
    """The text before a question in the label task."""
    rationale_prefix: str = "explain: "
    """The text before a question in the rationale task."""
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

    def requires(self) -> Requirements:
        """Rationales, and human labels in the fine-tuning setting."""
        kinds = {"rationale", "gold"} if self.labels == "human" else {"rationale"}
        return Requirements(annotation_kinds=frozenset(kinds))

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The role's prefix before the question as the task shows it."""
        prefix = self.rationale_prefix if role == "explain" else self.label_prefix
        return Request(role, prefix + task.show(question), question.id)

    def read(self, text: str) -> tuple[str, str]:
        """("", the whole text): the label task writes no rationale."""
        return "", text

    def read_explanation(self, text: str) -> str:
        """The whole text: the rationale task writes nothing else."""
        return text

    def before_answer(self, text: str) -> str | None:
        """None: the label is the whole reply."""
        return None

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        """A label example and a rationale example per question, in one group.

        An annotation with only a label or only a rationale gives one example (the released code keeps such rows too,
        with an empty text for the other).
        """
        label_kind = "gold" if self.labels == "human" else "rationale"
        examples = []
        for row in annotations:
            if row.kind == label_kind and row.answer is not None:
                examples.append(self._example(row, "answer", "label", row.answer, task))
            if row.kind == "rationale" and row.rationale:
                examples.append(self._example(row, "explain", "rationale", row.rationale, task))
        return examples

    def _example(self, row: Annotation, role: str, name: str, target: str, task: Task) -> TrainingExample:
        prompt = self.request(row.question, role, task).prompt
        return TrainingExample.from_annotation(row, name, prompt, (Span(target, name=name),))

    def terms(self) -> Mapping[str, Term]:
        """One term per task, each with its own mean, so that long rationales do not outweigh the labels."""
        return {
            "label": Term(frozenset({"label"}), self.alpha),
            "rationale": Term(frozenset({"rationale"}), 1 - self.alpha),
        }
