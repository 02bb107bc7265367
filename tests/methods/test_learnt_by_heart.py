"""Formats of several tasks, learnt by heart: one student does each of its tasks word for word, as its prompt asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from benchmark.contract import Format
from benchmark.evaluation.accuracy import evaluate
from benchmark.random_streams import stream
from benchmark.student.fit import fit
from benchmark.student.scratch import TinyEncoderDecoder
from benchmark.student.source import TinyStudent
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Annotation, Example, Question, Request, TrainingExample
from methods.honey.format import MultitaskCounterfactual
from methods.step_by_step import StepByStepFormat
from tests.student.student_parts import CPU, context_of, method_of, optimization_of, student_of

TASK = MultipleChoice(heading="\n", item="{choice}", separator=",")
ANIMALS = ("ewe", "ape", "fox", "hen", "cow")
TRAITS = ("big", "hot", "old", "shy", "wet", "dry", "red", "odd")
DECODER = TinyStudent("tiny", 32, 64, 2, 2, 0.02, max_length=160, max_new_tokens=80)
ENCODER_DECODER = TinyEncoderDecoder("t5", 32, 64, 2, 2, max_length=160, max_new_tokens=80)
STEPS, LEARNING_RATE = 160, 1e-2
"""With a rate of 3e-3 the decoder needs far more than 200 steps for the longest of the four texts."""
MATCHED = 0.95


def drawn(*key: str | int) -> Any:
    return stream(0, "format", *key)


def items(count: int) -> list[Example]:
    """Questions with three choices, the right one at each place in turn."""
    found = []
    for i in range(count):
        choices = tuple(ANIMALS[(i + place) % 5] for place in range(3))
        text = f"{TRAITS[i % 8]},{TRAITS[(i + 1 + i // 8) % 8]}?"
        found.append(Example(f"q{i}", text, choices[2 * i % 3], choices))
    return found


def annotations(rows: Sequence[Example]) -> list[Annotation]:
    """An explanation of every choice."""
    return [
        Annotation(
            row.without_gold(),
            "rationale" if choice == row.answer else "counterfactual",
            "teacher",
            f"{choice} is {row.question[:3]}",
            choice,
            sample=place,
        )
        for row in rows
        for place, choice in enumerate(row.choices or ())
    ]


@dataclass(frozen=True)
class Learnt:
    """A student and what it was trained on."""

    student: Student
    form: Any
    examples: Sequence[TrainingExample]

    def matches(self) -> dict[str, float]:
        """Task -> share of its examples whose whole target the student writes, as it is asked in that task."""
        asked = [Request(example.task, example.prompt, example.group) for example in self.examples]
        found: dict[str, list[bool]] = {}
        for example, [reply] in zip(self.examples, self.student.generate(asked), strict=True):
            found.setdefault(example.task, []).append((reply.text, reply.finish) == (example.target_text, "stop"))
        return {task: sum(right) / len(right) for task, right in found.items()}

    def texts(self, role: str, questions: Sequence[Question]) -> list[str]:
        """What the student writes in a role, with the beginning of the reply that the format gives."""
        requests = [self.form.request(question, role, TASK) for question in questions]
        replies = self.student.generate(requests)
        return [request.prefix + reply.text for request, [reply] in zip(requests, replies, strict=True)]


def learnt(form: Format, rows: Sequence[Example], source: TinyStudent | TinyEncoderDecoder) -> Learnt:
    """All rows in every step, as the engine trains."""
    student = student_of(source.network(1), source.tokenizer(), source.max_length, source.max_new_tokens, 64)
    examples = form.examples(annotations(rows), TASK, drawn)
    method = method_of(form=form)
    optimization = optimization_of(max_steps=STEPS, batch_size=len(rows), learning_rate=LEARNING_RATE)
    fit(student, examples, method, context_of(student, method), optimization, CPU)
    return Learnt(student, form, examples)


def assert_the_prefix_decides(found: Learnt, rows: Sequence[Example]) -> None:
    """The same question behind the two prefixes: the label behind one, its explanation behind the other."""
    questions = [row.without_gold() for row in rows]
    labels, explanations = (found.texts(role, questions) for role in ("answer", "explain"))
    assert [found.form.read(text)[1] for text in labels] == [row.answer for row in rows]
    assert explanations == [row.rationale for row in annotations(rows) if row.kind == "rationale"]
    assert not set(labels) & set(explanations)
    assert evaluate(found.student, rows, found.form, TASK).accuracy == 1


STUDENTS = [
    pytest.param(DECODER, id="decoder"),
    pytest.param(ENCODER_DECODER, id="encoder-decoder", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("source", STUDENTS)
def test_all_four_tasks_of_honey_are_learnt_by_heart(source: Any) -> None:
    rows = items(8)
    found = learnt(MultitaskCounterfactual(), rows, source)
    matches = found.matches()
    assert set(matches) == {"label", "rationale", "factual", "counterfactual"}
    assert min(matches.values()) > MATCHED, matches
    assert_the_prefix_decides(found, rows)


@pytest.mark.parametrize("source", STUDENTS)
@pytest.mark.parametrize("count", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_both_tasks_of_step_by_step_are_learnt_by_heart(count: int, source: Any) -> None:
    rows = items(count)
    found = learnt(StepByStepFormat(), rows, source)
    matches = found.matches()
    assert set(matches) == {"label", "rationale"}
    assert min(matches.values()) > MATCHED, matches
    assert_the_prefix_decides(found, rows)
