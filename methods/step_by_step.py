"""Distilling Step-by-Step (Hsieh et al., Findings of ACL 2023): label and rationale as tasks with a prefix each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.contract import DataRng, Requirements, Task
from benchmark.types import Annotation, Question, Request, Span, TrainingExample
from methods.label_and_rationale import LabelAndRationale


@dataclass(frozen=True)
class StepByStepFormat(LabelAndRationale):
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
