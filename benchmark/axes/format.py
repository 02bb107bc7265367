"""The plain supervised formats: what the student is asked and what it learns to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from benchmark.contract import DataRng, Requirements, Task
from benchmark.tasks.thinking import without_trace
from benchmark.types import Annotation, Question, Request, Span, Term, TrainingExample

TAUGHT_KINDS = frozenset({"rationale", "gold"})
"""Kinds of annotation whose answer the student learns. Plain formats ignore other kinds (`counterfactual`, ...)."""


@dataclass(frozen=True)
class AnswerOnly:
    """The student answers at once: target = answer."""

    roles: ClassVar[frozenset[str]] = frozenset({"answer"})
    answer_path: ClassVar[tuple[str, ...]] = ("answer",)

    def requires(self) -> Requirements:
        """Nothing: it uses every rationale or gold label that has an answer."""
        return Requirements()

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The question as the task shows it."""
        return Request(role, task.show(question), question.id)

    def read(self, text: str) -> tuple[str, str]:
        """("", the whole text)."""
        return "", text

    def before_answer(self, text: str) -> str | None:
        """None: a reply is the answer alone."""
        return None

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        """One example per rationale or gold label that has an answer."""
        return [
            TrainingExample.from_annotation(
                row, "answer", self.request(row.question, "answer", task).prompt, (Span(row.answer, name="answer"),)
            )
            for row in annotations
            if row.kind in TAUGHT_KINDS and row.answer is not None
        ]

    def terms(self) -> Mapping[str, Term]:
        """One mean over all answer tokens."""
        return {"answer": Term(frozenset({"answer"}))}


@dataclass(frozen=True)
class RationaleThenAnswer:
    """The student reasons first: target = rationale, marker, answer (chain-of-thought fine-tuning).

    Two roles have the same prompt. `rationale_and_answer` continues the given text. `answer_given` takes the given text
    as the whole rationale and writes only the answer. A reply is read together with its request's prefix.
    """

    answer_marker: str = "#"
    """The text between rationale and answer."""
    thinking: Literal["keep", "strip", "answer_only"] = "keep"
    """What the student learns of a rationale with a trace (`teacher.thinking=keep`): all of it, or all but the trace;
    with `answer_only` it learns no rationale at all. At test its answer is read after its trace in any case."""
    roles: ClassVar[frozenset[str]] = frozenset({"rationale_and_answer", "answer_given"})
    answer_path: ClassVar[tuple[str, ...]] = ("rationale_and_answer",)
    explanation_path: ClassVar[tuple[str, ...]] = ("rationale_and_answer",)

    def __post_init__(self) -> None:
        if not self.answer_marker.strip():
            raise ValueError("answer_marker is blank, so nothing would separate rationale and answer")

    def requires(self) -> Requirements:
        """Nothing: annotations of other kinds, or without rationale or answer, are left out and counted as unused."""
        return Requirements()

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The question as the task shows it. `given` begins the reply; `answer_given` adds the marker to it."""
        begun = given + self.answer_marker if role == "answer_given" else given
        return Request(role, task.show(question), question.id, prefix=begun)

    def read(self, text: str) -> tuple[str, str]:
        """(text before the last marker, text after it); without a marker (the whole text, "")."""
        rationale, marker, answer = text.rpartition(self.answer_marker)
        return (rationale, answer) if marker else (text, "")

    def read_explanation(self, text: str) -> str:
        """The text before the last marker."""
        return self.read(text)[0]

    def before_answer(self, text: str) -> str | None:
        """The text up to its last marker, marker included; a text without a marker gets one at its end."""
        return self.read(text)[0] + self.answer_marker

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        """One example per rationale or gold label that has an answer and, unless it is not learnt, a rationale."""
        return [
            TrainingExample.from_annotation(
                row,
                task="rationale_and_answer",
                prompt=self.request(row.question, "rationale_and_answer", task).prompt,
                target=(
                    Span(f"{reasoning}{self.answer_marker}", name="rationale"),
                    Span(row.answer, name="answer"),
                ),
            )
            for row, reasoning in ((row, self._learnt(row.rationale or "")) for row in annotations)
            if row.kind in TAUGHT_KINDS
            and (reasoning or self.thinking == "answer_only")
            and row.answer is not None
            and self.answer_marker not in row.answer
        ]

    def _learnt(self, rationale: str) -> str:
        """The part of a rationale that the student learns to write."""
        if self.thinking == "answer_only":
            return ""
        return rationale if self.thinking == "keep" else without_trace(rationale)

    def terms(self) -> Mapping[str, Term]:
        """One mean over all target tokens."""
        return {"rationale_and_answer": Term(frozenset({"rationale_and_answer"}))}
