"""The plain formats: what the student learns to write reads back, and it is asked at test as it was in training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.contract import Format, Task
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.tasks.thinking import without_trace
from benchmark.types import Annotation, Question, Span, TrainingExample
from methods.step_by_step import StepByStepFormat

NUMBER, CHOICE = GeneratedAnswer(), MultipleChoice()
SUM = Question("q1", "4+3-5")
PICK = Question("q2", "Where?", ("river bank", "sky"), context="Look around.")
FORMATS = [AnswerOnly(), RationaleThenAnswer(), RationaleThenAnswer(" => "), StepByStepFormat()]
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="#"), max_size=40)


def annotation(question: Question = SUM, rationale: str | None = "4+3=7;7-5=2", answer: str | None = "2") -> Annotation:
    return Annotation(question, "rationale", "teacher", rationale, answer)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize(("question", "task", "answer"), [(SUM, NUMBER, "2"), (PICK, CHOICE, "river bank")])
def test_what_is_learned_on_the_answer_path_reads_back_and_is_right(
    form: Format, question: Question, task: Task, answer: str
) -> None:
    row = annotation(question, "so it is.", answer)
    last = form.answer_path[-1]
    asked = form.request(question, last, task)
    [example] = [example for example in form.examples([row], task) if example.prompt == asked.prompt]
    rationale, said = form.read(example.target_text)
    assert task.parse(question, said) == answer
    assert rationale in ("", row.rationale)
    if isinstance(form, RationaleThenAnswer):
        assert (rationale, said) == (row.rationale, row.answer)


@given(rationale=TEXT.filter(bool), answer=TEXT.filter(bool))
def test_rationale_then_answer_round_trip(rationale: str, answer: str) -> None:
    form = RationaleThenAnswer()
    [example] = form.examples([annotation(SUM, rationale, answer)], NUMBER)
    assert form.read(example.target_text) == (rationale, answer)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("rationale", ["so it is.", "with # and => inside"])
def test_what_stands_before_an_answer_makes_the_target_of_training(form: Any, rationale: str) -> None:
    """Whether a student has written the whole target, only its rationale, or another answer."""
    asked = form.request(SUM, form.answer_path[-1], NUMBER)
    examples = form.examples([annotation(SUM, rationale, "2"), annotation(SUM, rationale, "7")], NUMBER)
    two, seven = (example.target_text for example in examples if example.prompt == asked.prompt)
    for written in (two, seven):
        before = form.before_answer(written)
        assert (before or "") + "2" == two
        assert (before or "") + "7" == seven
    assert (form.before_answer("") is None) == (two == "2")


def test_a_marker_that_was_never_written_is_put_behind_the_text() -> None:
    form = RationaleThenAnswer(" => ")
    assert form.before_answer("4+3=7;7-5=") == "4+3=7;7-5= => "
    assert form.before_answer("") == " => "


@given(answer=TEXT.filter(bool))
def test_answer_only_round_trip(answer: str) -> None:
    [example] = AnswerOnly().examples([annotation(SUM, "anything", answer)], NUMBER)
    assert AnswerOnly().read(example.target_text) == ("", answer)


def test_a_rationale_may_hold_the_marker() -> None:
    form = RationaleThenAnswer()
    [example] = form.examples([annotation(SUM, "step #1: 7 # step #2: 2", "2")], NUMBER)
    assert form.read(example.target_text) == ("step #1: 7 # step #2: 2", "2")


def test_an_answer_that_holds_the_marker_reads_back_or_is_left_out() -> None:
    form = RationaleThenAnswer()
    for example in form.examples([annotation(PICK, "It compiles.", "C#")], CHOICE):
        assert form.read(example.target_text) == ("It compiles.", "C#")


def test_text_without_the_marker_states_no_answer() -> None:
    form = RationaleThenAnswer()
    assert form.read("4+3=7;7-5=2") == ("4+3=7;7-5=2", "")
    assert form.read("") == ("", "")
    assert form.read("#2") == ("", "2")
    assert NUMBER.parse(SUM, form.read("4+3=7")[1]) is None


def test_a_rationale_that_is_given_is_gone_on_from_or_closed_by_the_marker() -> None:
    form = RationaleThenAnswer(" => ")
    goes_on = form.request(SUM, "rationale_and_answer", NUMBER, "4+3=7")
    answers = form.request(SUM, "answer_given", NUMBER, "4+3=7")
    assert (goes_on.prefix, answers.prefix) == ("4+3=7", "4+3=7 => ")
    assert goes_on.prompt == answers.prompt == NUMBER.show(SUM)
    assert form.request(SUM, "rationale_and_answer", NUMBER).prefix == ""
    assert form.read(goes_on.prefix + ";7-5=2 => 2") == ("4+3=7;7-5=2", "2")
    assert form.read(answers.prefix + "2") == ("4+3=7", "2")


def test_an_answer_is_asked_for_as_it_was_learned() -> None:
    """What is given and the answer behind it are the target of training, to the letter."""
    [example] = RationaleThenAnswer().examples([annotation()], NUMBER)
    asked = RationaleThenAnswer().request(SUM, "answer_given", NUMBER, "4+3=7;7-5=2")
    assert (asked.prompt, asked.prefix + "2") == (example.prompt, example.target_text)


@pytest.mark.parametrize("marker", ["", " ", "\n"])
def test_a_blank_marker_is_refused(marker: str) -> None:
    with pytest.raises(ValueError, match="answer_marker"):
        RationaleThenAnswer(marker)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize(("question", "task"), [(SUM, NUMBER), (PICK, CHOICE)])
def test_every_training_prompt_is_one_that_can_be_asked(form: Format, question: Question, task: Task) -> None:
    """The prompt of each role in training equals `ask` for that role, which is what scoring and test use."""
    row = annotation(question, "because.", (question.choices or ("2",))[0])
    asked = {form.request(question, role, task).prompt for role in form.roles}
    examples = form.examples([row], task)
    assert examples
    assert {example.prompt for example in examples} == asked
    assert set(form.answer_path) <= form.roles
    for role in form.roles:
        request = form.request(question, role, task)
        assert (request.role, request.question_id, request.temperature) == (role, question.id, 0.0)
        assert task.show(question) in request.prompt


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_terms_and_tasks_belong_together(form: Format) -> None:
    """No example is outside every term, no term without an example, and a question's examples are one group."""
    examples = form.examples([annotation(), annotation(PICK, "r", "sky")], NUMBER)
    of_terms = {task for term in form.terms().values() for task in term.tasks}
    assert {example.task for example in examples} == of_terms
    assert {example.group for example in examples} == {"q1", "q2"}
    for example in examples:
        assert example.annotations == (f"{example.group}/rationale/teacher/0",)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_annotations_that_lack_what_is_needed_are_left_out(form: Format) -> None:
    nothing = annotation(SUM, None, None)
    assert form.examples([nothing], NUMBER) == []
    needs_both = isinstance(form, RationaleThenAnswer)
    without_rationale = form.examples([annotation(SUM, None, "2")], NUMBER)
    assert [example.target_text for example in without_rationale] == ([] if needs_both else ["2"])
    without_answer = form.examples([annotation(SUM, "r", None)], NUMBER)
    assert [example.task for example in without_answer] == (["rationale"] if "explain" in form.roles else [])


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)
def test_the_weight_of_an_annotation_is_that_of_its_examples(form: Format) -> None:
    for example in form.examples([replace(annotation(), weight=0.25)], NUMBER):
        assert example.weight == 0.25


def test_spans_name_what_is_rationale_and_what_is_answer() -> None:
    [example] = RationaleThenAnswer().examples([annotation()], NUMBER)
    assert [(span.name, span.text, span.weight) for span in example.target] == [
        ("rationale", "4+3=7;7-5=2#", 1.0),
        ("answer", "2", 1.0),
    ]


# --- traces -----------------------------------------------------------------------------------------------------------

THOUGHT = "<think>\n4+3=8? No, 7.\n</think>\n\n4+3=7;7-5=2"


@pytest.mark.parametrize(
    ("thinking", "rationale", "target"),
    [
        ("keep", THOUGHT, f"{THOUGHT}#2"),
        ("strip", THOUGHT, "4+3=7;7-5=2#2"),
        ("answer_only", THOUGHT, "#2"),
        ("keep", "4+3=7;7-5=2", "4+3=7;7-5=2#2"),
        ("strip", "4+3=7;7-5=2", "4+3=7;7-5=2#2"),
        ("answer_only", None, "#2"),
        ("keep", None, None),
        ("strip", None, None),
        ("strip", "<think>\nonly a trace\n</think>", None),
        ("keep", "<think>\nonly a trace\n</think>", "<think>\nonly a trace\n</think>#2"),
    ],
)
def test_what_a_student_learns_of_a_trace(thinking: Any, rationale: str | None, target: str | None) -> None:
    form = RationaleThenAnswer(thinking=thinking)
    examples = form.examples([annotation(SUM, rationale)], NUMBER)
    assert [example.target_text for example in examples] == ([] if target is None else [target])
    for example in examples:
        assert form.read(without_trace(example.target_text))[1] == "2"


def test_an_example_from_an_annotation_keeps_its_group_weight_and_origin() -> None:
    row = replace(annotation(), weight=0.25, sample=2)
    made = TrainingExample.from_annotation(row, "answer", "4+3-5", (Span("2"),))
    expected = TrainingExample("q1", "answer", "4+3-5", (Span("2"),), weight=0.25, annotations=(row.id,))
    assert made == expected
