"""Both readings of texts that are hard to read: the table, and what holds for every text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.tasks.generated_answer import EXTRACTOR_VERSION as NUMBER_VERSION
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import EXTRACTOR_VERSION as CHOICE_VERSION
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Example, Question
from tests.tasks.hard_cases import FIGURES, HARD_QUESTIONS, NUMBERS, PLACES, HardCase, HardQuestion

TABLE = [pytest.param(asked, case, id=case.text[:30] or "nothing") for asked in HARD_QUESTIONS for case in asked.cases]
every_question = pytest.mark.parametrize("asked", HARD_QUESTIONS, ids=lambda asked: str(asked.choices))


def question_of(asked: HardQuestion) -> Question:
    return Question("q", "Which?", asked.choices)


@pytest.mark.parametrize(("asked", "case"), TABLE)
def test_a_hard_text_is_read_strictly(asked: HardQuestion, case: HardCase) -> None:
    assert asked.task.parse(question_of(asked), case.text) == case.strict, case.why


@pytest.mark.parametrize(("asked", "case"), TABLE)
def test_a_hard_text_is_read_flexibly(asked: HardQuestion, case: HardCase) -> None:
    assert asked.task.parse_flexibly(question_of(asked), case.text) == case.flexible, case.why


@every_question
def test_the_table_itself_is_sound(asked: HardQuestion) -> None:
    """No text twice, what is read is an answer, and the flexible reading never contradicts the strict one."""
    assert len({case.text for case in asked.cases}) == len(asked.cases)
    for case in asked.cases:
        assert case.strict in (None, case.flexible)
        assert asked.choices is None or case.flexible in (None, *asked.choices)


def test_the_table_is_long() -> None:
    assert sum(len(asked.cases) for asked in HARD_QUESTIONS) >= 240
    both = [case for asked in HARD_QUESTIONS for case in asked.cases if case.strict is None]
    assert sum(case.flexible is not None for case in both) >= 60
    assert sum(case.flexible is None for case in both) >= 60


def test_the_version_says_which_rules_read() -> None:
    """It is part of a cell's identity: whoever changes an expectation of the table raises it, here too."""
    assert (NUMBER_VERSION, CHOICE_VERSION) == (3, 3)
    assert (GeneratedAnswer().extractor_version, MultipleChoice().extractor_version) == (3, 3)


# --- what holds for every text ---------------------------------------------------------------------------------------

PIECES = (
    *(
        "72",
        "3",
        ".5",
        "1,000",
        "-",
        "$",
        "%",
        "#### ",
        "answer is ",
        "The answer is",
        "\\boxed{",
        "\\text{",
        "}",
        "\\,",
        "\\(",
        "\\)",
        "'",
        "~",
        "or ",
        "not ",
        "n't ",
    ),
    *(
        "(a)",
        "(z)",
        "b.",
        "river bank",
        "Blue sky",
        "bank",
        "option ",
        "because ",
        "yes",
        "no",
        " ",
        "\n",
        ".",
        ",",
        ":",
    ),
    *("\u2212", "\uff17", "\u00bd", "\u00b2", "\u0130", "\u0667", "\x00", "\ud800", "e", "1e", "^", "/", "_", "*", "="),
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


@every_question
@given(text=TEXTS)
def test_any_text_is_read_and_the_readings_agree(asked: HardQuestion, text: str) -> None:
    question = question_of(asked)
    strict, flexible = asked.task.parse(question, text), asked.task.parse_flexibly(question, text)
    assert strict in (None, flexible)
    if flexible is not None:
        assert asked.task.parse(question, flexible) == flexible
        assert asked.task.is_correct(Example("q", "Which?", flexible, asked.choices), flexible)
    if asked.choices is None:
        assert flexible is None or flexible.isascii()


@given(st.integers(-(10**9), 10**9), st.sampled_from(["So {} it is", "#### {}", "Answer: {}", "5 is less than {:,}!"]))
def test_an_integer_inside_of_a_text_is_found(number: int, text: str) -> None:
    assert GeneratedAnswer().parse_flexibly(question_of(NUMBERS), text.format(number)) == str(number)


@given(st.sampled_from(PLACES.choices or ()), st.sampled_from(["I say {}, as ever", "It is the {}", "Answer: {}"]))
def test_an_option_inside_of_a_text_is_found(choice: str, text: str) -> None:
    assert MultipleChoice().parse_flexibly(question_of(PLACES), text.format(choice.upper())) == choice


REPEATED = (
    *(
        "9",
        "1,",
        "1 ",
        "1-",
        "1/",
        "1 or ",
        "1:00 ",
        "1e+",
        "9.",
        ".",
        " ",
        "\n",
        "-",
        "$",
        "#",
        "# ",
        "####",
        "#### ",
        "#### 1\n",
    ),
    *(
        "answer ",
        "answer is ",
        "answer is 3. ",
        "The answer is (",
        "\\boxed{",
        "{",
        "}",
        "(",
        "(a)",
        "option a ",
        "not ",
    ),
    *("1\\,000", "1'", "1~", "1\u00a0", "\\text{", "\\(", "$$"),
    *(
        "river bank ",
        "river ",
        "not the ",
        "a. ",
        "x because ",
        "a as",
        "*",
        "_",
        "a",
        "\u00bd",
        "\uff17",
        "3.5 ",
        "13",
    ),
)


LONG = {"numbers": NUMBERS, "places": PLACES, "figures": FIGURES}
LONG_CASES = [
    pytest.param(piece, asked, id=f"{piece}-{name}", marks=() if (i - j) % len(LONG) == 0 else pytest.mark.slow)
    for i, piece in enumerate(REPEATED)
    for j, (name, asked) in enumerate(LONG.items())
]
"""By default every piece is repeated for one kind of question, and each kind meets a third of the pieces."""


@pytest.mark.parametrize(("piece", "asked"), LONG_CASES)
def test_a_text_of_a_hundred_thousand_characters_is_read(piece: str, asked: HardQuestion) -> None:
    """A reading that is not linear would not come back from here; no time is asserted."""
    text = piece * (100_000 // len(piece) + 1)
    for written in (text, f"{text}?x", f"answer is {text}a", f"x{text}x"):
        for read in (asked.task.parse, asked.task.parse_flexibly):
            assert isinstance(read(question_of(asked), written), str | None)
