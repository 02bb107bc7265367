"""Factual and counterfactual reasoning as two tasks: what SCOTT and Honey train on, each in its own form.

The factual task reasons and answers. The counterfactual task is given an explanation of a wrong choice, and learns the
answer that this explanation argues for; so the student cannot answer from the question alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmark.contract import DataRng, Requirements, Task
from benchmark.types import Annotation, Question, Request, Span, Term, TrainingExample

FACTUAL, COUNTERFACTUAL = "factual", "counterfactual"
"""The tasks of the examples, and the names of the terms."""


@dataclass(frozen=True)
class CounterfactualFormat:
    """`L = beta * L_factual + (1 - beta) * L_counterfactual`, each a mean over its own tokens.

    All texts around question, explanation and answer are settings, spaces included. At test the student does the
    factual task: its reply begins with `factual_reply`, it writes its reasoning, the marker and the answer.
    """

    beta: float = 0.5
    """The weight of the factual task, in [0, 1]; the counterfactual task has the weight 1 - beta."""
    combine: Literal["weighted", "sum"] = "weighted"
    """How the two losses are combined; `sum` adds them without a weight, as the released T5 trainer of Honey does."""
    rationale_in: Literal["prompt", "reply"] = "prompt"
    """Where the counterfactual explanation stands: behind the question, or as the beginning of the reply."""
    learns: Literal["reply", "answer"] = "reply"
    """What of a counterfactual reply is learnt: all of it, or the answer with EOS only."""
    distractor: Literal["random", "first", "all"] = "random"
    """Which wrong choice the student gets an explanation of: one, drawn once per question, the same for all seeds;
    the first one; or each of them. A choice without an explanation is passed over."""
    factual_kind: Literal["rationale", "unrevised"] = "rationale"
    """The kind of annotation that the factual task learns from."""
    factual_prefix: str = "[factual] "
    """The text before a question in the factual task."""
    factual_reply: str = "[factual] Answer: "
    """The beginning of every factual reply."""
    counterfactual_prefix: str = "[counterfactual] "
    """The text before a question in the counterfactual task."""
    rationale_lead: str = " Rationale: "
    """The text between a question and its counterfactual explanation, with `rationale_in=prompt`."""
    counterfactual_reply: str = "[counterfactual] "
    """The beginning of every counterfactual reply."""
    answer_marker: str = " So the answer is "
    """The text between reasoning and answer."""
    answer_end: str = "."
    """The text behind an answer."""
    roles: ClassVar[frozenset[str]] = frozenset({"rationale_and_answer", "answer_given", "counterfactual"})
    """The factual task, free or with all of its reasoning given; the counterfactual task, with its explanation given.
    """
    answer_path: ClassVar[tuple[str, ...]] = ("rationale_and_answer",)
    explanation_path: ClassVar[tuple[str, ...]] = ("rationale_and_answer",)

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta={self.beta} is not between 0 (counterfactual task only) and 1 (factual task only)")
        if self.combine == "sum" and self.beta != 0.5:
            raise ValueError(f"combine=sum reads no beta, but beta={self.beta}; leave it at 0.5, or choose weighted")
        if self.factual_prefix == self.counterfactual_prefix:
            raise ValueError(f"factual_prefix and counterfactual_prefix are both {self.factual_prefix!r}")
        if not self.answer_marker.strip():
            raise ValueError("answer_marker is blank, so nothing would separate reasoning and answer")

    def requires(self) -> Requirements:
        """Questions with choices, an explanation of the right choice and explanations of wrong ones."""
        return Requirements(choices=True, annotation_kinds=frozenset({self.factual_kind, "counterfactual"}))

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The role's prefix before the question as the task shows it; `given` is reasoning.

        The free factual task continues it. `answer_given` and `counterfactual` take it as the whole reasoning and write
        the answer alone.
        """
        shown = task.show(question)
        if role == "counterfactual":
            prompt, begun = self._counterfactual(shown, given)
            return Request(role, prompt, question.id, prefix=begun)
        marker = self.answer_marker if role == "answer_given" else ""
        return Request(role, self.factual_prefix + shown, question.id, prefix=f"{self.factual_reply}{given}{marker}")

    def read(self, text: str) -> tuple[str, str]:
        """(reasoning before the last marker, answer behind it); without a marker (the whole text, "")."""
        reasoning, marker, answer = text.rpartition(self.answer_marker.rstrip())
        if not marker:
            return self._reasoning(text), ""
        return self._reasoning(reasoning), answer.strip().removesuffix(self.answer_end.strip())

    def read_explanation(self, text: str) -> str:
        """The reasoning before the last marker, without the beginning of the reply."""
        return self.read(text)[0]

    def before_answer(self, text: str) -> str | None:
        """The text up to its last marker, marker included; a text without a marker gets one at its end."""
        before, marker, _ = text.rpartition(self.answer_marker.rstrip())
        return (before if marker else text) + self.answer_marker

    def examples(self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng) -> Sequence[TrainingExample]:
        """A factual example per explanation of the right choice, and counterfactual ones as `distractor` says."""
        factual = [self._factual_example(row, task) for row in self._whole(annotations, self.factual_kind)]
        chosen = self.chosen(list(self._whole(annotations, "counterfactual")), data_rng)
        return [*factual, *(self._counterfactual_example(row, task) for row in chosen)]

    def chosen(self, rows: Sequence[Annotation], data_rng: DataRng) -> list[Annotation]:
        """The explanations of wrong choices that the student learns from, question by question."""
        if self.distractor == "all":
            return list(rows)
        of_question: dict[Question, list[Annotation]] = {}
        for row in rows:
            of_question.setdefault(row.question, []).append(row)
        return [self._first(each, self._order(question, data_rng)) for question, each in of_question.items()]

    def _order(self, question: Question, data_rng: DataRng) -> list[str]:
        """All choices in the order in which they are preferred.

        All of them are drawn, so that a choice without an explanation changes nothing for the others.
        """
        choices = question.choices or ()
        if self.distractor == "first":
            return list(choices)
        return [choices[number] for number in data_rng("distractor", question.id).permutation(len(choices))]

    @staticmethod
    def _first(rows: Sequence[Annotation], order: Sequence[str]) -> Annotation:
        return min(rows, key=lambda row: order.index(row.answer) if row.answer in order else len(order))

    def terms(self) -> Mapping[str, Term]:
        """One term per task, each with its own mean; with `learns=answer` the second one over answers and EOS only."""
        factual, counterfactual = (1.0, 1.0) if self.combine == "sum" else (self.beta, 1 - self.beta)
        span = "answer" if self.learns == "answer" else None
        return {
            FACTUAL: Term(frozenset({FACTUAL}), factual),
            COUNTERFACTUAL: Term(frozenset({COUNTERFACTUAL}), counterfactual, span=span),
        }

    def _counterfactual(self, shown: str, explanation: str) -> tuple[str, str]:
        """(prompt, all of the reply that comes before the answer)."""
        prompt = self.counterfactual_prefix + shown
        if self.rationale_in == "reply":
            return prompt, f"{self.counterfactual_reply}{explanation}{self.answer_marker}"
        return f"{prompt}{self.rationale_lead}{explanation}", self.counterfactual_reply + self.answer_marker.lstrip()

    def _factual_example(self, row: Annotation, task: Task) -> TrainingExample:
        request = self.request(row.question, "answer_given", task, row.rationale or "")
        return TrainingExample.from_annotation(row, FACTUAL, request.prompt, self._target(request.prefix, row))

    def _counterfactual_example(self, row: Annotation, task: Task) -> TrainingExample:
        request = self.request(row.question, "counterfactual", task, row.rationale or "")
        return TrainingExample.from_annotation(row, COUNTERFACTUAL, request.prompt, self._target(request.prefix, row))

    def _target(self, before: str, row: Annotation) -> tuple[Span, Span]:
        """Spaces before the answer belong to it, since tokens do not end between a space and a word."""
        rationale = before.rstrip(" ")
        answer = f"{before[len(rationale) :]}{row.answer}{self.answer_end}"
        return Span(rationale, name="rationale"), Span(answer, name="answer")

    def _reasoning(self, text: str) -> str:
        return text.removeprefix(self.factual_reply).removeprefix(self.factual_reply.strip()).lstrip()

    def _whole(self, annotations: Iterable[Annotation], kind: str) -> Iterable[Annotation]:
        """The annotations of a kind that have an explanation and an answer, and no second marker."""
        return (
            row
            for row in annotations
            if row.kind == kind and row.rationale and row.answer is not None and self.answer_marker not in row.answer
        )
