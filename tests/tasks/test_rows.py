"""The fields of a row by their types: what a text is made of, and what is refused with place, field and value."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from benchmark.errors import DataError
from benchmark.tasks.rows import Fields, Options, answer_text, joined_steps, plain_number
from benchmark.tasks.shortened import shortened

Read = Callable[[Fields], Any]
HALF = "\ud83d"


def fields(**values: Any) -> Fields:
    return Fields("rows.jsonl, line 7", values)


def refusal(read: Read, **values: Any) -> str:
    with pytest.raises(DataError) as refused:
        read(fields(**values))
    said = str(refused.value)
    assert said.startswith("rows.jsonl, line 7: ")
    assert "\n" not in said
    assert len(said) < 500
    said.encode()
    return said.removeprefix("rows.jsonl, line 7: ")


def gold(row: Fields) -> str:
    return row.gold_answer(row.options())


def context(row: Fields) -> str | None:
    return row.optional_text("context")


def raw(row: Fields) -> str | None:
    return row.optional_text("raw")


# --- numbers and truth values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (72, "72"),
        (0, "0"),
        (-3, "-3"),
        (100, "100"),
        (72.0, "72"),
        (0.5, "0.5"),
        (-0.0, "0"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (Decimal("72.10"), "72.1"),
        (Decimal("1e3"), "1000"),
        (Decimal("-0.0"), "0"),
        (Decimal("1e-7"), "0.0000001"),
        (Decimal("0.12345678901234567890123"), "0.12345678901234567890123"),
        (10**400, "1" + "0" * 400),
    ],
)
def test_a_number_is_its_plain_digits(number: Any, text: str) -> None:
    assert plain_number(number) == text
    assert answer_text(number) == text
    assert gold(fields(answer=number)) == text


@pytest.mark.parametrize(
    ("answer", "choices", "text"),
    [
        (72, ["70", "72"], "72"),
        (72, ["72.0", "70"], "72.0"),
        (Decimal("72.0"), ["72.00", "71"], "72.00"),
        (0, ["+0", "1"], "+0"),
        (2, ["2.0", "2"], "2"),
        (2, ["2.0", "2.00"], "2"),  # two choices say the same: neither is meant more than the other
        (3, ["yes", "no"], "3"),
        (True, ["yes", "no"], "yes"),
        (False, ["yes", "no"], "no"),
        (True, ["No", " YES. "], " YES. "),
        (False, ["True", "False"], "False"),
        (True, ["false", "true"], "true"),
        (True, ["maybe", "never"], "true"),
        (True, [], "true"),
        (False, [], "false"),
        (False, ["no", "No"], "false"),
        ("True", ["yes", "no"], "True"),
        ("72.0", ["72"], "72.0"),
    ],
)
def test_a_number_or_truth_value_picks_the_choice_that_says_the_same(answer: Any, choices: Any, text: str) -> None:
    assert answer_text(answer, choices) == text


@pytest.mark.parametrize(
    ("answer", "choices", "text"),
    [
        (True, ["yes", "no"], "yes"),
        (False, ["Yes", "No"], "No"),
        (Decimal("72.0"), ["72", "7"], "72"),
        (7, [72, 7], "7"),
        ("7", [72, 7.0], "7"),
        (True, [True, False], "true"),
    ],
)
def test_gold_answers_with_choices(answer: Any, choices: Any, text: str) -> None:
    assert gold(fields(answer=answer, choices=choices)) == text


@pytest.mark.parametrize("answer", [3, True, "c", "A", Decimal("0.5")])
def test_a_gold_answer_that_is_no_choice(answer: Any) -> None:
    said = refusal(gold, answer=answer, choices=["a", "b"])
    assert said == f"answer {shortened(answer)} is not among the choices ['a', 'b']; write one of them"


@pytest.mark.parametrize("answer", [["6"], [], {"value": 6}, math.nan, math.inf, Decimal("NaN"), b"6"])
@pytest.mark.parametrize("read", [gold, Fields.answer])
def test_answers_that_are_neither_text_nor_number(read: Read, answer: Any) -> None:
    said = refusal(read, answer=answer)
    assert said == f"'answer' must be a text, a number, true or false, but is {shortened(answer)}"


@pytest.mark.parametrize("row", [{}, {"answer": None}, {"answer": ""}])
def test_a_gold_answer_that_is_not_there(row: dict[str, Any]) -> None:
    assert "'answer' must be a text that is not empty, but is" in refusal(gold, **row)


@pytest.mark.parametrize(("row", "answer"), [({}, None), ({"answer": None}, None), ({"answer": 0}, 0)])
def test_a_recorded_answer_may_be_null_and_zero_is_not_null(row: dict[str, Any], answer: Any) -> None:
    assert fields(**row).answer() is answer
    assert fields(answer=False).answer() is False


# --- rationales ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (["10+4=14", "14*1=14"], "10+4=14;14*1=14"),
        (["all are thrown away"], "all are thrown away"),
        ([" 8=8 ", "8*9=72\n"], "8=8;8*9=72"),
        (["One.", "Two."], "One. Two."),
        (["One.", "Two"], "One. Two"),
        (["Why?", "Because!", "So:", "2"], "Why? Because! So: 2"),
        (['He said "no."', "(It is so.)", "end"], 'He said "no." (It is so.) end'),
        (["“So.”", "[Yes!]»", "done."], "“So.” [Yes!]» done."),
        (["One.", "two", "three."], "One.;two;three."),
        (("a", "b"), "a;b"),
    ],
)
def test_a_list_of_steps_is_one_text(steps: Any, text: str) -> None:
    assert joined_steps(steps) == text
    assert fields(rationale=steps).rationale() == text


@pytest.mark.parametrize(("row", "text"), [({}, None), ({"rationale": None}, None), ({"rationale": " a \n"}, " a \n")])
def test_a_rationale_that_is_a_text_or_null_stays_as_it_is(row: dict[str, Any], text: str | None) -> None:
    assert fields(**row).rationale() == text


@pytest.mark.parametrize(
    "wrong", [7, True, 0.5, {"steps": ["a"]}, [], [""], ["a", "  "], ["a", None], ["a", 1], [["a"]], math.nan]
)
def test_rationales_that_are_refused(wrong: Any) -> None:
    said = refusal(Fields.rationale, rationale=wrong)
    assert said == f"'rationale' must be a text, null or a list of texts that are not blank, but is {shortened(wrong)}"


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [7, True, 0.5, ["a"], {"stem": "a"}])
@pytest.mark.parametrize(
    ("name", "read"), [("id", Fields.id), ("question", Fields.question), ("context", context), ("raw", raw)]
)
def test_texts_are_texts_only(name: str, read: Read, wrong: Any) -> None:
    said = refusal(read, **{name: wrong})
    assert said.startswith(f"{name!r} must be a text")
    assert f"but is {shortened(wrong)}" in said


@pytest.mark.parametrize("wrong", [None, ""])
@pytest.mark.parametrize(("name", "read"), [("id", Fields.id), ("question", Fields.question)])
def test_texts_that_must_be_there(name: str, read: Read, wrong: Any) -> None:
    assert refusal(read, **{name: wrong}) == f"{name!r} must be a text that is not empty, but is {wrong!r}"


def test_context_and_raw_may_be_null() -> None:
    assert [read(row) for read in (context, raw) for row in (fields(), fields(context=None, raw=None))] == [None] * 4
    assert context(fields(context="")) == ""


@pytest.mark.parametrize("number", [7, 0, -1])
def test_an_id_that_is_a_number_is_to_be_written_as_text(number: int) -> None:
    assert refusal(Fields.id, id=number).endswith(f'but is {number}; write it as text: "{number}"')


@pytest.mark.parametrize(("value", "name"), [(None, "0"), (0, "0"), (12, "12"), ("greedy", "greedy"), ("3", "3")])
def test_samples(value: Any, name: str) -> None:
    assert fields(sample=value).sample() == name


@pytest.mark.parametrize("wrong", [True, False, 0.5, Decimal("1.0"), [0], {"n": 0}])
def test_samples_that_are_refused(wrong: Any) -> None:
    said = refusal(Fields.sample, sample=wrong)
    assert said == f"'sample' must be a whole number or a text, but is {shortened(wrong)}"


@pytest.mark.parametrize("text", [HALF, f"so {HALF} it is", "x" * 5000 + "\udc00"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("id", Fields.id),
        ("question", Fields.question),
        ("answer", Fields.answer),
        ("rationale", Fields.rationale),
        ("context", context),
        ("raw", raw),
        ("sample", Fields.sample),
    ],
)
def test_half_a_character_is_refused_in_every_text(name: str, read: Read, text: str) -> None:
    said = refusal(read, **{name: text})
    assert said.startswith(f"{name!r} holds '\\ud")
    assert said.endswith("write the whole character")


@pytest.mark.parametrize(
    "row",
    [
        {"rationale": ["a", HALF]},
        {"choices": ["a", HALF]},
        {"choices": {"label": ["A", HALF], "text": ["a", "b"]}},
        {"choices": [{"label": "A", "text": HALF}]},
        {"choices": [{"label": "A", "text": "a"}], "answerKey": HALF},
    ],
)
def test_half_a_character_is_refused_inside_lists_too(row: dict[str, Any]) -> None:
    def read(fields: Fields) -> None:
        fields.rationale()
        gold(fields)

    assert "holds '\\ud83d'" in refusal(read, **row)


def test_whole_characters_are_kept() -> None:
    assert fields(question="caf\u00e9 \U0001f600").question() == "caf\u00e9 \U0001f600"


# --- options ---------------------------------------------------------------------------------------------------------

LABELLED = [
    {"label": ["A", "B", "C"], "text": ["x", "y", "z"]},
    [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}, {"label": "C", "text": "z"}],
    [{"label": "A", "text": "x", "more": 1}, {"text": "y", "label": "B"}, {"label": "C", "text": "z"}],
]


@pytest.mark.parametrize("choices", LABELLED)
def test_options_with_labels(choices: Any) -> None:
    assert fields(choices=choices).options() == Options(("x", "y", "z"), ("A", "B", "C"))
    for row in ({"answer": "B"}, {"answer": "y"}, {"answerKey": "B"}, {"answer": None, "answerKey": "B"}):
        assert gold(fields(choices=choices, **row)) == "y"
    assert gold(fields(choices=choices, answer="x", answerKey="B")) == "x"


@pytest.mark.parametrize(
    ("choices", "texts"),
    [
        (None, None),
        (["a", "b"], ("a", "b")),
        (["a", "a"], ("a", "a")),
        ([70, 72.0, Decimal("0.50")], ("70", "72", "0.5")),
        ([True, False], ("true", "false")),
        (("a", 1), ("a", "1")),
    ],
)
def test_options_without_labels(choices: Any, texts: Any) -> None:
    options = fields(choices=choices).options()
    assert (options and options.texts) == texts
    assert not (options and options.labels)


def test_labels_may_be_numbers() -> None:
    choices = {"label": [1, 2], "text": ["x", "y"]}
    assert [gold(fields(choices=choices, answer=said)) for said in (2, "2", "y", Decimal("2.0"))] == ["y"] * 4
    assert gold(fields(choices=choices, answerKey=1)) == "x"


def test_options_of_one_text_under_two_labels_as_in_commonsense_qa() -> None:
    choices = {"label": ["A", "B"], "text": ["x", "x"]}
    assert [gold(fields(choices=choices, answer=said)) for said in ("A", "B", "x")] == ["x"] * 3


@pytest.mark.parametrize(
    ("choices", "answer", "other"),
    [
        ({"label": ["1", "2"], "text": ["2", "3"]}, "2", "'3'"),
        ({"label": [1, 2], "text": [2, 3]}, 2, "'3'"),
        ([{"label": "A", "text": "B"}, {"label": "B", "text": "A"}], "A", "'B'"),
    ],
)
def test_an_answer_that_is_the_label_of_one_and_the_text_of_another(choices: Any, answer: Any, other: str) -> None:
    said = refusal(gold, choices=choices, answer=answer)
    assert f"answer {answer!r} is the text of one choice and the label of another, {other}" in said
    assert "'answerKey'" in said
    assert gold(fields(choices=choices, answerKey=answer)) == other.strip("'")


def test_an_answer_that_is_label_and_text_of_the_same_option() -> None:
    assert gold(fields(choices={"label": ["A", "B"], "text": ["A", "B"]}, answer="B")) == "B"


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ("ab", "'choices' must be null or a list of texts"),
        (7, "'choices' must be null or a list of texts"),
        ([], "'choices' must be null or a list of texts"),
        ({}, "'choices' must be null or a list of texts"),
        ({"text": ["a"]}, "'choices' must be null or a list of texts"),
        ({"label": "A", "text": "a"}, "'choices' must be null or a list of texts"),
        ({"label": [], "text": []}, "'choices' must be null or a list of texts"),
        ([{"label": "A", "text": "a"}, "b"], "'choices' must be null or a list of texts"),
        ({"label": ["A"], "text": ["a", "b"]}, "it has 1 labels and 2 texts"),
        ({"label": ["A", "B"], "text": ["a"]}, "it has 2 labels and 1 texts"),
        ({"label": ["A", "B", "C"], "text": ["a", "b"]}, "it has 3 labels and 2 texts"),
        ({"label": ["A", "A"], "text": ["a", "b"]}, "'choices' must be options whose labels differ"),
        ({"label": [1, "1"], "text": ["a", "b"]}, "'choices' must be options whose labels differ"),
        ([{"label": "A", "text": "a"}] * 2, "'choices' must be options whose labels differ"),
        (["a", ""], "each of 'choices' must be a text that is not blank, a number, true or false, but is ''"),
        (["a", " \n"], "but is ' \\n'"),
        (["a", None], "but is None"),
        (["a", math.nan], "but is nan"),
        (["a", ["b"]], "but is ['b']"),
        ({"label": ["A", "B"], "text": ["a", ""]}, "each of 'choices' must be"),
        ([{"label": "A", "text": "a"}, {"label": "B"}], "each of 'choices' must be"),
        ([{"label": "A", "text": "a"}, {"text": "b"}], "a label of 'choices' must be"),
        ({"label": ["A", ""], "text": ["a", "b"]}, "a label of 'choices' must be"),
        ({"label": ["A", True], "text": ["a", "b"]}, "a label of 'choices' must be"),
        ({"label": ["A", 0.5], "text": ["a", "b"]}, "a label of 'choices' must be"),
    ],
)
def test_options_that_are_refused(choices: Any, said: str) -> None:
    assert said in refusal(Fields.options, choices=choices)


@pytest.mark.parametrize(
    ("choices", "key", "said"),
    [
        (LABELLED[0], "D", "must be one of the labels ['A', 'B', 'C'], but is 'D'"),
        (LABELLED[1], "y", "must be one of the labels ['A', 'B', 'C'], but is 'y'"),
        (LABELLED[0], ["A"], "must be a text that is not blank or a whole number, but is ['A']"),
        (LABELLED[0], "", "must be a text that is not blank or a whole number, but is ''"),
        (["x", "y"], "A", "must be left out, as the choices have no labels, but is 'A'"),
        (None, "A", "must be left out, as the choices have no labels, but is 'A'"),
    ],
)
def test_labels_that_no_option_has(choices: Any, key: Any, said: str) -> None:
    assert f"'answerKey' {said}" in refusal(gold, choices=choices, answerKey=key)


def test_an_answer_that_is_neither_text_nor_label() -> None:
    said = refusal(gold, choices=LABELLED[1], answer="w")
    assert "not among the choices ['x', 'y', 'z'] or their labels ['A', 'B', 'C']" in said


# --- values in messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "'a'"),
        ("line\nbreak", "'line\\nbreak'"),
        (HALF, "'\\ud83d'"),
        (Decimal("0.50"), "0.50"),
        ([Decimal(1), None], "[1, None]"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
    ],
)
def test_values_are_shown_on_one_printable_line(value: Any, shown: str) -> None:
    assert shortened(value) == shown


@pytest.mark.parametrize("value", ["x" * 10_000, ["x" * 10_000], {"k" * 999: ["v" * 999]}, 10**4000, [[[[["deep"]]]]]])
def test_long_values_are_cut(value: Any) -> None:
    assert len(shortened(value)) < 200
    assert "..." in shortened(value)
