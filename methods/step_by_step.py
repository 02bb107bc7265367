"""Distilling Step-by-Step (Hsieh et al., Findings of ACL 2023): label and rationale as two tasks, told by a prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmark.contract import Requirements, Task
from benchmark.types import Annotation, Question, Request, Span, Term, TrainingExample


@dataclass(frozen=True)
class StepByStepFormat:
    """Two tasks on every question; at test only the label task runs, so that reasoning costs nothing there.

    `L = alpha * L_label + (1 - alpha) * L_rationale` (equation 3 in the released code's convex form), each a mean over
    its own tokens. Labels come from the teacher (the paper's "distillation" setting) or from people ("fine-tuning").
    """

    alpha: float = 0.5
    labels: Literal["teacher", "human"] = "teacher"
    label_prefix: str = "predict: "
    rationale_prefix: str = "explain: "
    roles: ClassVar[frozenset[str]] = frozenset({"answer", "explain"})
    answer_path: ClassVar[tuple[str, ...]] = ("answer",)

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

    def before_answer(self, text: str) -> str | None:
        """None: the label is the whole reply."""
        return None

    def examples(self, annotations: Sequence[Annotation], task: Task) -> Sequence[TrainingExample]:
        """A label example and a rationale example per question, in one group.

        A reply that gives only one of the two still gives that one (the released code keeps such rows, with a blank).
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
        return TrainingExample(
            group=row.question.id,
            task=name,
            prompt=self.request(row.question, role, task).prompt,
            target=(Span(target, name=name),),
            weight=row.weight,
            annotations=(row.id,),
        )

    def terms(self) -> Mapping[str, Term]:
        """The two tasks, each with its own mean, so that long rationales do not drown the labels."""
        return {
            "label": Term(frozenset({"label"}), self.alpha),
            "rationale": Term(frozenset({"rationale"}), 1 - self.alpha),
        }
