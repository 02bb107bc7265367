"""What Honey's students learn: answers and explanations as two tasks, alone or beside counterfactual reasoning.

The module `methods.counterfactual` has counterfactual reasoning alone. Tasks and losses follow the released T5 trainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from benchmark.contract import DataRng, Requirements, Task
from benchmark.types import Annotation, Question, Request, Span, Term, TrainingExample
from methods.counterfactual import CounterfactualFormat
from methods.label_and_rationale import LabelAndRationale


@dataclass(frozen=True)
class Multitask(LabelAndRationale):
    """`L = alpha * L_label + (1 - alpha) * L_rationale`, each a mean over its own tokens.

    Both tasks read the question behind a prefix. The label task's reply begins with `answer_lead`, which the student
    learns too; at test it is given.
    """

    alpha: float = 0.5
    """The weight of the label task, in [0, 1]; the rationale task has the weight 1 - alpha."""
    label_prefix: str = "[predict] "
    """The text before a question in the label task."""
    rationale_prefix: str = "[explain] "
    """The text before a question in the rationale task."""
    answer_lead: str = "The answer is "
    """The beginning of every label; later versions of the released code have `[answer] The answer is `."""

    def requires(self) -> Requirements:
        """Rationales."""
        return Requirements(annotation_kinds=frozenset({"rationale"}))

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The role's prefix before the question as the task shows it."""
        shown = task.show(question)
        if role == "explain":
            return Request(role, self.rationale_prefix + shown, question.id)
        return Request(role, self.label_prefix + shown, question.id, prefix=self.answer_lead)

    def read(self, text: str) -> tuple[str, str]:
        """("", the text without `answer_lead`): the label task writes no rationale."""
        return "", text.removeprefix(self.answer_lead.rstrip()).lstrip()

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        """A label example per rationale with an answer, and a rationale example per rationale with a text."""
        found = []
        for row in annotations:
            if row.kind == "rationale" and row.answer is not None:
                asked = self.request(row.question, "answer", task)
                label = (Span(f"{self.answer_lead}{row.answer}", name="label"),)
                found.append(TrainingExample.from_annotation(row, "label", asked.prompt, label))
            if row.kind == "rationale" and row.rationale:
                asked = self.request(row.question, "explain", task)
                rationale = (Span(row.rationale, name="rationale"),)
                found.append(TrainingExample.from_annotation(row, "rationale", asked.prompt, rationale))
        return found


@dataclass(frozen=True)
class MultitaskCounterfactual:
    """`L = gamma * L_multitask + (1 - gamma) * L_counterfactual`: four tasks on every question.

    At test the label task runs, and the rationale task explains.
    """

    gamma: float = 0.5
    """The weight of the two tasks of `multitask`, in [0, 1]; the two of `counterfactual` have the weight 1 - gamma."""
    multitask: Multitask = field(default_factory=Multitask)
    """Labels and explanations, with the weight alpha between them."""
    counterfactual: CounterfactualFormat = field(default_factory=CounterfactualFormat)
    """Factual and counterfactual reasoning, with the weight beta between them."""
    roles: ClassVar[frozenset[str]] = Multitask.roles | CounterfactualFormat.roles
    answer_path: ClassVar[tuple[str, ...]] = Multitask.answer_path
    explanation_path: ClassVar[tuple[str, ...]] = Multitask.explanation_path

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma={self.gamma} is not between 0 (counterfactual only) and 1 (multitask only)")

    def requires(self) -> Requirements:
        """What both parts need."""
        return self.multitask.requires() | self.counterfactual.requires()

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The prompt of the part that knows the role."""
        part = self.multitask if role in self.multitask.roles else self.counterfactual
        return part.request(question, role, task, given)

    def read(self, text: str) -> tuple[str, str]:
        """As a factual reply if it holds that task's marker, else as a label."""
        part = self.counterfactual if self.counterfactual.answer_marker in text else self.multitask
        return part.read(text)

    def read_explanation(self, text: str) -> str:
        """The whole text of the rationale task."""
        return self.multitask.read_explanation(text)

    def before_answer(self, text: str) -> str | None:
        """None: the student writes nothing before the label."""
        return self.multitask.before_answer(text)

    def examples(self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng) -> Sequence[TrainingExample]:
        """The examples of both parts."""
        return [
            *self.multitask.examples(annotations, task, data_rng),
            *self.counterfactual.examples(annotations, task, data_rng),
        ]

    def terms(self) -> Mapping[str, Term]:
        """Four terms: gamma and 1 - gamma times the coefficients of the parts."""
        weighted = ((self.gamma, self.multitask), (1 - self.gamma, self.counterfactual))
        return {
            name: replace(term, coefficient=weight * term.coefficient)
            for weight, part in weighted
            for name, term in part.terms().items()
        }
