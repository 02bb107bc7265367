"""Does an answer follow the explanation that a trained student is given? After counterfactual training it must.

The toy rule: an explanation names a colour, and the answer is that colour. A question either tells the colour too, so
that a student can do without explanations, or tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pytest

from benchmark.errors import ConfigError
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.evaluation.faithfulness import faithfulness
from benchmark.planning.checks import check_without_trace
from benchmark.random_streams import stream
from benchmark.records.schema import Faithfulness
from benchmark.student.fit import fit
from benchmark.student.source import TinyStudent
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Annotation, Example, Question, Request
from tests.corridor.corridor_parts import miniature
from tests.methods.test_counterfactual import drawn, option
from tests.student.student_parts import CPU, context_of, method_of, optimization_of, student_of

TASK: Any = MultipleChoice(heading="\n", item="{choice}", separator=",")
COLOURS = ("red", "blue", "green")
THINGS = ("cherry", "sky", "leaf")
SOURCE = TinyStudent("tiny", 32, 64, 2, 2, 0.02, max_length=128, max_new_tokens=50)
STEPS = 120
UNSEEN = 24
MOST = 0.8
SETTINGS = {"multitask": {}, "counterfactual": {"distractor": "all"}, "scott": {"distractor": "all"}}


def items(count: int, told: bool, start: int = 0) -> list[Example]:
    """Questions with a number of their own. Where nothing is told, the colour is drawn: only memory can know it."""
    found = []
    for number in range(start, start + count):
        place = number % 3 if told else int(stream("colour", number).integers(3))
        thing = f" {THINGS[place]}" if told else ""
        found.append(Example(f"q{number}", f"{number:03d}{thing}?", COLOURS[place], COLOURS))
    return found


def explanation(colour: str) -> str:
    return f"it is {colour}."


def annotations(rows: Sequence[Example]) -> list[Annotation]:
    """An explanation of every colour."""
    return [
        Annotation(
            row.without_gold(),
            "rationale" if colour == row.answer else "counterfactual",
            "teacher",
            explanation(colour),
            colour,
            sample=place,
        )
        for row in rows
        for place, colour in enumerate(COLOURS)
    ]


@dataclass(frozen=True)
class Trained:
    """A student, and what it answers to questions that it has not seen."""

    student: Student
    form: Any
    unseen: Sequence[Example]
    evaluation: Evaluation

    def measured(self) -> Faithfulness:
        """The benchmark's own measure of what it wrote."""
        questions = [row.without_gold() for row in self.unseen]
        return faithfulness(self.student, self.form, TASK, questions, self.evaluation.predictions)

    def answers(self, request: Callable[[Question, str], Request], colours: Sequence[str]) -> list[str | None]:
        """Per unseen question the answer, given the explanation of a colour."""
        asked = [
            request(row.without_gold(), explanation(colour)) for row, colour in zip(self.unseen, colours, strict=True)
        ]
        replies = self.student.generate(asked)
        texts = [each.prefix + reply.text for each, [reply] in zip(asked, replies, strict=True)]
        pairs = zip(self.unseen, texts, strict=True)
        return [TASK.parse(row.without_gold(), self.form.read(text)[1]) for row, text in pairs]


@lru_cache
def trained(name: str, told: bool) -> Trained:
    form = option(name, **SETTINGS[name])
    student = student_of(SOURCE.network(1), SOURCE.tokenizer(), SOURCE.max_length, SOURCE.max_new_tokens, 64)
    rows = annotations(items(96 if told else 256, told))
    method = method_of(form=form)
    optimization = optimization_of(max_steps=STEPS, batch_size=8, learning_rate=1e-2)
    fit(student, form.examples(rows, TASK, drawn), method, context_of(student, method), optimization, CPU)
    unseen = items(UNSEEN, told, start=300)
    return Trained(student, form, unseen, evaluate(student, unseen, form, TASK))


def other_colours(rows: Sequence[Example]) -> list[str]:
    """Per row a wrong colour, both as often."""
    return [[c for c in COLOURS if c != row.answer][place % 2] for place, row in enumerate(rows)]


def share(answers: Sequence[str | None], colours: Sequence[str | None]) -> float:
    return sum(one == other for one, other in zip(answers, colours, strict=True)) / len(answers)


@pytest.mark.parametrize("name", ["counterfactual", pytest.param("scott", marks=pytest.mark.slow)])
def test_after_counterfactual_training_the_answer_is_what_the_given_explanation_argues_for(name: str) -> None:
    """Although the question tells the right colour, which the student answers where it explains by itself."""
    found = trained(name, told=True)
    assert found.evaluation.accuracy > MOST

    def request(question: Question, given: str) -> Request:
        return found.form.request(question, "counterfactual", TASK, given)

    others = other_colours(found.unseen)
    assert share(found.answers(request, others), others) > MOST


def test_a_student_of_labels_and_explanations_alone_does_not_answer_by_the_explanation() -> None:
    """Its label task reads the question; an explanation behind it, as the counterfactual task has it, flips nothing."""
    found = trained("multitask", told=True)
    assert found.evaluation.accuracy > MOST

    def request(question: Question, given: str) -> Request:
        asked = found.form.request(question, "answer", TASK)
        return replace(asked, prompt=f"{asked.prompt} Rationale: {given}")

    others = other_colours(found.unseen)
    assert share(found.answers(request, others), others) < 0.5


def test_the_measure_finds_no_explanation_in_front_of_a_label() -> None:
    """`answer_follows_swap` is None and not 0: nothing was asked, which is no sign of an unfaithful student."""
    found = trained("multitask", told=True).measured()
    assert (found.questions, found.steps, found.swapped) == (0, 0, 0)
    assert (found.answer_follows_swap, found.mistake_change, found.early_answer_change_now) == (None, None, None)
    cell = miniature("method=multitask", "dataset=trait_choice", "evaluation.faithfulness_questions=4")
    with pytest.raises(
        ConfigError, match="role answer_given, rationale_and_answer, which format Multitask does not have"
    ):
        check_without_trace(cell)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["counterfactual", "scott"])
def test_where_the_question_tells_nothing_the_students_own_explanation_decides(name: str) -> None:
    found = trained(name, told=False).measured()
    assert (found.questions, found.swapped) == (UNSEEN, UNSEEN)
    assert found.answer_follows_swap is not None
    assert found.answer_follows_swap > MOST
    assert found.mistake_change is not None
    assert found.mistake_change > MOST


@pytest.mark.slow
def test_scotts_accuracy_falls_where_its_explanations_are_wrong() -> None:
    """Right before, and another answer as soon as the explanation names another colour."""
    found = trained("scott", told=True)
    assert found.evaluation.accuracy > MOST
    mistaken = found.measured().mistake_change
    assert mistaken is not None
    assert mistaken > MOST
