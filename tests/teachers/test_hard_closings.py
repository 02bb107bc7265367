"""Closing sentences that are hard to read: the table, and what holds for every reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.contract import Task
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.teachers.replies import before_next_exemplar, split_answer
from benchmark.types import Question
from tests.teachers.hard_closings import CHOICES, NUMBERS, OPTIONS, HardClosing

COUNTED, CHOSEN = Question("q", "How many?"), Question("q", "Which?", CHOICES)
TABLE = [
    pytest.param(task, question, case, id=case.text[:40] or "nothing")
    for task, question, cases in ((GeneratedAnswer(), COUNTED, NUMBERS), (MultipleChoice(), CHOSEN, OPTIONS))
    for case in cases
]


@pytest.mark.parametrize(("task", "question", "case"), TABLE)
def test_a_hard_closing_is_read(task: Task, question: Question, case: HardClosing) -> None:
    rationale, stated = split_answer(case.text)
    assert (rationale, stated) == (case.rationale, case.stated), case.why
    strict = None if stated is None else task.parse(question, stated)
    assert strict == case.strict, case.why
    assert (strict or task.parse_flexibly(question, before_next_exemplar(case.text))) == case.flexible, case.why


def test_the_table_is_long_and_sound() -> None:
    both = [*NUMBERS, *OPTIONS]
    assert len(both) >= 140
    assert len({case.text for case in both}) == len(both)
    assert sum(case.strict is None for case in both) >= 35
    assert all(case.strict in (None, case.flexible) and (case.stated or case.strict is None) for case in both)


PIECES = (
    *(
        "72",
        "3",
        "The answer is ",
        "the answer is",
        "the answer: ",
        "Answer:",
        "**Final Answer**",
        "### Answer",
        "#### ",
    ),
    *("####", "\\boxed{", "}", "$", "\\(", "\\[", "\\]", "\\text{", "**", "*", "_", "`", "- ", "1. ", "2. ", "\n", " "),
    *("So, ", "so ", "Therefore", ", ", ".", "?", "not ", "or ", "If ", "=", "-", "8*9=", "\u00a0", "\x00", "\nQ:"),
)


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_reply_is_split_into_what_it_holds(text: str) -> None:
    """The answer is a piece of the reply, the rationale its beginning (apart from a box), and neither is blank."""
    rationale, stated = split_answer(text)
    own = before_next_exemplar(text)
    assert stated is None or (stated.strip() and stated in own)
    assert rationale is None or rationale.strip() == rationale != ""
    assert rationale is None or own.startswith(rationale) or "\\boxed" in own


def test_a_rationale_is_split_once_and_for_all() -> None:
    """What is left of the closings that are read holds none, but for a correction and the reasoning's own clauses."""
    left = [case.rationale for case in (*NUMBERS, *OPTIONS) if case.strict and case.rationale]
    assert {text for text in left if split_answer(text)[1] is not None} == {
        "8 * 9 = 72. The answer is $10\\,000$ or so, no:"
    }


REPEATED = (
    *(
        "the answer is ",
        "The answer is 3. ",
        "if the answer is ",
        "answer: ",
        "x answer: ",
        "Answer: 5\n",
        "Answer: 5\nx ",
    ),
    *("**Answer**\n", "answer\n", "the final ", "final ", "correct ", "the answer to the ", "So, ", "so ", "and that "),
    *("we get ", "**", "*", "_", "`", "#", "#### ", "# x\n", "1. ", "2. x\n", "- ", "\n", " ", ".", "a"),
    *("\\boxed{", "\\boxed{3} ", "$\\boxed{3}$\n", "{", "}", "$", "\\(", "\\text{", "The answer is 3 = ", "not think "),
)


@pytest.mark.parametrize("piece", REPEATED)
def test_the_work_grows_with_the_reply(piece: str) -> None:
    """Were it quadratic, this would take minutes."""
    long = piece * (100_000 // len(piece) + 1)
    for text in (
        long,
        f"{long}?x",
        f"the answer is {long}a",
        f"{long}\\boxed{{7}}",
        f"{long}\nAnswer: 7",
        f"\\boxed{{{long}}}",
    ):
        assert split_answer(text) is not None
