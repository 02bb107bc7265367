"""How an answer is read out of a text, and when it is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Example, Question

NUMBER = GeneratedAnswer()
ASKED = Question("q", "How many?")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("42", "42"),
        (" 42 \n", "42"),
        ("42.", "42"),
        ("1,234", "1234"),
        ("1,234,567.50", "1234567.5"),
        ("12,34", None),
        ("$18", "18"),
        ("$ 18.50", "18.5"),
        ("€7", "7"),
        ("£7.", "7"),
        ("25%", "25"),
        ("25 %", "25"),
        ("-3", "-3"),
        ("+3", "3"),
        ("-0.5", "-0.5"),
        (".5", "0.5"),
        ("3.50", "3.5"),
        ("3.0", "3"),
        ("100", "100"),
        ("007", "7"),
        ("0", "0"),
        ("", None),
        (".", None),
        ("-", None),
        ("forty-two", None),
        ("42 apples", None),
        ("It is 42", None),
        ("(84 / 2)", None),
        ("84 / 2 = 42", None),
        ("4+3", None),
        ("--3", None),
        ("1e3", None),
        ("3 4", None),
        ("3\n4", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_numbers_are_read_strictly(text: str, read: str | None) -> None:
    assert NUMBER.parse(ASKED, text) == read


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "{:,}", " {}. ", "{}.00", "{:+}", "{:+,}%"]))
def test_every_integer_reads_back_however_it_is_written(number: int, style: str) -> None:
    read = NUMBER.parse(ASKED, style.format(number))
    assert read is not None
    assert float(read) == number
    assert read == str(number)


@given(st.decimals(-(10**6), 10**6, places=3))
def test_every_decimal_reads_back(number: object) -> None:
    read = NUMBER.parse(ASKED, str(number))
    assert read is not None
    assert float(read) == float(str(number))


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("72", "72", True),
        ("72", "72.00005", True),
        ("72", "72.001", False),
        ("72", "-72", False),
        ("3.5", "3.50001", True),
        ("3.3333", "3.33333", True),
        ("1,234", "1234", True),
        ("-2", "-2", True),
        ("0", "-0", True),
        ("0.5", ".5", True),
        ("72", None, False),
        ("0", None, False),
        ("7", "9" * 400, False),
    ],
)
def test_numbers_are_right_within_a_ten_thousandth(gold: str, answer: str | None, right: bool) -> None:
    assert NUMBER.is_correct(Example("q", "?", gold), answer) is right


@pytest.mark.parametrize("gold", ["$18", "25%"])
def test_a_gold_answer_that_the_loader_accepts_can_be_scored(gold: str) -> None:
    example = Example("q", "?", gold)
    assert NUMBER.parse(example.without_gold(), gold) is not None  # what JsonlDataset checks before it takes the row
    assert NUMBER.is_correct(example, NUMBER.parse(example.without_gold(), gold))


def test_a_number_question_shows_its_context_first() -> None:
    assert NUMBER.show(ASKED) == "How many?"
    assert NUMBER.show(Question("q", "How many?", context="Ten pears.")) == "Ten pears.\nHow many?"


# --- options -------------------------------------------------------------------------------------------------------

CHOICE = MultipleChoice()
OPTIONS = ("river bank", "Blue sky", "U.S.", "no")
WHERE = Question("q", "Where?", OPTIONS)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("river bank", "river bank"),
        ("  River   Bank. ", "river bank"),
        ("BLUE SKY", "Blue sky"),
        ("u.s.", "U.S."),
        ("U.S", "U.S."),
        ("(a)", "river bank"),
        ("(B)", "Blue sky"),
        ("(b).", "Blue sky"),
        ("(b) Blue sky", "Blue sky"),
        ("(B) blue sky.", "Blue sky"),
        ("(d)\nno", "no"),
        ("(a) Blue sky", None),
        ("(e)", None),
        ("b", "Blue sky"),
        ("sky", None),
        ("no way", None),
        ("river bank or Blue sky", None),
        ("", None),
        (".", None),
        ("(a) (b)", None),
    ],
)
def test_options_are_read_by_text_or_letter(text: str, read: str | None) -> None:
    assert CHOICE.parse(WHERE, text) == read


def test_the_second_of_two_equal_options_is_as_right_as_the_first() -> None:
    twice = Question("q", "Where?", ("sea", "sky", "sea"))
    example = Example("q", "Where?", "sea", twice.choices)
    for said in ("sea", "(a)", "(c)", "(c) sea"):
        assert CHOICE.is_correct(example, CHOICE.parse(twice, said))
    assert not CHOICE.is_correct(example, CHOICE.parse(twice, "(b)"))


def test_a_letter_that_is_itself_an_option_means_the_option() -> None:
    letters = Question("q", "Which?", ("c", "b", "a"))
    assert CHOICE.parse(letters, "a") == "a"
    assert CHOICE.parse(letters, "(a)") == "c"


@given(st.lists(st.text("abcdefgh ", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=6, unique=True))
def test_every_option_reads_back_by_text_and_by_letter(options: list[str]) -> None:
    folded = [" ".join(option.split()) for option in options]
    if len(set(folded)) < len(folded):
        return
    question = Question("q", "?", tuple(options))
    for letter, option in zip("abcdef", options, strict=False):
        for said in (option, f"({letter})", f"({letter}) {option}", f"{option.upper()}."):
            assert CHOICE.parse(question, said) == option


def test_right_is_the_text_of_the_gold_option_and_none_is_wrong() -> None:
    example = Example("q", "Where?", "no", OPTIONS)
    assert CHOICE.is_correct(example, "no")
    assert not CHOICE.is_correct(example, "U.S.")
    assert not CHOICE.is_correct(example, None)


def test_options_are_shown_in_order() -> None:
    assert CHOICE.show(WHERE) == "Where?\nAnswer choices:\n(a) river bank\n(b) Blue sky\n(c) U.S.\n(d) no"
    assert CHOICE.show(Question("q", "Where?", ("x", "y"), "Look.")).startswith("Look.\nWhere?\n")
    plain = MultipleChoice(heading="\n", item="{choice}", separator=",")
    assert plain.show(Question("q", "Where?", ("x", "y"))) == "Where?\nx,y"


# --- options without letters -----------------------------------------------------------------------------------------

BARE = MultipleChoice(heading="\n", item="{choice}", separator=",")


@pytest.mark.parametrize("count", [26, 27, 100])
def test_without_letters_there_may_be_any_number_of_options(count: int) -> None:
    question = Question("q", "Which?", tuple(f"thing {n}" for n in range(count)))
    last = f"thing {count - 1}"
    assert BARE.show(question) == "Which?\n" + ",".join(question.choices or ())
    for text in (last, last.upper(), f"**{last}**."):
        assert BARE.parse(question, text) == last
    for text in ("a", "(b)", f"(a) {last}", "option c"):
        assert BARE.parse(question, text) is None
    assert BARE.parse_flexibly(question, f"It cannot be thing 0, so I take {last} here") == last
    assert BARE.parse_flexibly(question, f"The answer is {last}, because thing 0 is too small.") == last


@pytest.mark.parametrize("count", [27, 28, 100])
def test_with_letters_there_are_no_more_than_26(count: int) -> None:
    question = Question("q", "Which?", tuple(f"thing {n}" for n in range(count)))
    with pytest.raises(ValueError, match=rf"question 'q' has {count} 'choices'; there are letters for 26: .*item"):
        CHOICE.show(question)
