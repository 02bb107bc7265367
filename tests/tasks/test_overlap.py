"""How many test questions stand in other texts: in closed form, for odd texts, and as a plain search counts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import LeakError
from benchmark.tasks.dataset import TestSplit
from benchmark.tasks.overlap import NEAR_PERCENT, RUN_WORDS, Overlap, overlap_of, words_of
from benchmark.types import Example, Question

TWENTY = "one two three four five six seven eight nine ten eleven twelve a b c d e f g h"


def asked(*texts: str, choices: tuple[str, ...] | None = None, context: str | None = None) -> list[Question]:
    return [Question(str(number), text, choices, context) for number, text in enumerate(texts)]


def counts(found: Overlap) -> tuple[int, int, int]:
    return found.exact, found.near, found.any


def between(one: str, other: str) -> tuple[int, int, int]:
    return counts(overlap_of(asked(one), asked(other)))


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_nothing_shared_is_nothing_counted() -> None:
    assert overlap_of(asked(TWENTY), asked("something else")) == Overlap(0, 0, 0, 0, 0.0)
    assert overlap_of(asked(TWENTY), []) == Overlap(0, 0, 0, 0, 0.0)
    assert overlap_of([], asked(TWENTY)) == Overlap(0, 0, 0, 0, 0.0)


def test_an_equal_question_is_counted_by_all_measures() -> None:
    assert overlap_of(asked(TWENTY), asked(TWENTY)) == Overlap(1, 1, 1, 0, 1.0)


@pytest.mark.parametrize(
    ("shared", "near", "any_", "covered"),
    [(7, 0, 0, 0), (8, 0, 1, 1 / 13), (16, 0, 1, 9 / 13), (17, 1, 1, 10 / 13), (19, 1, 1, 12 / 13)],
)
def test_twenty_words_have_thirteen_runs_of_which_ten_are_near(
    shared: int, near: int, any_: int, covered: float
) -> None:
    words = TWENTY.split()
    found = overlap_of(asked(TWENTY), asked(" ".join([*words[:shared], "other", *words[shared:][:3]])))
    assert (counts(found), found.short) == ((0, near, any_), 0)
    assert found.covered == pytest.approx(covered)


def test_seventy_percent_itself_is_near() -> None:
    words = [f"w{i}" for i in range(17)]  # ten runs
    assert between(" ".join(words), " ".join([*words[:14], "x"])) == (0, 1, 1)
    assert between(" ".join(words), " ".join([*words[:13], "x"])) == (0, 0, 1)


def test_runs_may_come_from_several_texts_but_not_from_the_seam_of_two() -> None:
    words = TWENTY.split()
    halves = asked(" ".join(words[:10]), " ".join(words[10:]))
    assert counts(overlap_of(asked(TWENTY), halves)) == (0, 0, 1)
    assert overlap_of(asked(TWENTY), halves).covered == pytest.approx(6 / 13)


def test_a_template_with_other_numbers_is_no_exact_question() -> None:
    one = "Tom has 5 apples and buys 7 more apples at the shop on the corner of his street. How many has he now?"
    other = one.replace("5", "9").replace("7", "2")
    exact, near, any_ = between(one, other)
    assert (exact, near, any_) == (0, 0, 1)


def test_short_questions_are_found_only_if_equal() -> None:
    short = "Where do fish live"
    found = overlap_of(asked(short, "Where do birds live"), asked(short, f"Say it: {short} and why"))
    assert (counts(found), found.short) == ((1, 1, 1), 2)
    assert counts(overlap_of(asked(short), [], [f"Say it: {short} and why"])) == (0, 0, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is it?", "  where\tIS\nit ?"),
        ("It's a 'test', no?", "It\u2019s a \u201ctest\u201d no"),
        ("caf\u00e9 cr\u00e8me", "cafe\u0301 cre\u0300me"),
        ("\uff37\uff48\uff41\uff54 1", "what 1"),
        ("STRASSE", "stra\u00dfe"),
        ("the of\ufb01ce", "The OFFICE"),
        ("a hidden\u200bspace and soft\u00adhyphen", "a hiddenspace and softhyphen"),
    ],
)
def test_writing_in_another_way_does_not_count(one: str, other: str) -> None:
    assert between(one, other) == (1, 1, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [("3+5", "3-5"), ("3*5=", "3+5="), ("2 < 3", "2 > 3"), ("3.5", "35"), ("\u0915\u093f", "\u0915\u093e"), ("?", "!")],
)
def test_signs_count(one: str, other: str) -> None:
    assert between(one, other) == (0, 0, 0)
    assert between(one, one) == (1, 1, 1)


def test_the_order_of_options_does_not_count_and_other_options_do() -> None:
    [question] = asked("Big?", choices=("ape", "Bee"))
    assert overlap_of([question], asked("Big?", choices=("bee", "APE"))).exact == 1
    for choices in (("ape", "cat"), ("ape",), None):
        assert overlap_of([question], asked("Big?", choices=choices)).exact == 0
    long = asked(TWENTY, choices=("ape", "bee"))
    assert counts(overlap_of(long, asked(TWENTY, choices=("cat", "dog")))) == (0, 1, 1)


def test_the_context_counts() -> None:
    assert overlap_of(asked("Why?", context="A sea."), asked("Why?", context="a sea")).exact == 1
    assert overlap_of(asked("Why?", context="A sea."), asked("Why?")).exact == 0
    assert counts(overlap_of(asked("Why?", context=TWENTY), asked("Who?", context=TWENTY))) == (0, 1, 1)


# --- texts -----------------------------------------------------------------------------------------------------------


def test_a_text_that_quotes_a_question_holds_it_word_for_word() -> None:
    found = overlap_of(asked(TWENTY, TWENTY + " more"), [], [f"You asked: {TWENTY.upper()}! So I answer."])
    assert counts(found) == (1, 2, 2)


def test_a_quote_with_options_is_exact_only_where_all_of_them_are_named() -> None:
    question = asked(TWENTY, choices=("ice cream", "tea", "+"))
    assert overlap_of(question, [], [f"{TWENTY}\n(A) tea\n(B) Ice Cream"]).exact == 1
    assert counts(overlap_of(question, [], [f"{TWENTY}\n(A) teapot\n(B) ice cream"])) == (0, 1, 1)


def test_texts_and_questions_may_be_read_once_only() -> None:
    questions, texts = (each for each in asked(TWENTY)), (text for text in [TWENTY])
    assert overlap_of(asked(TWENTY), questions, texts).exact == 1


def test_half_a_surrogate_pair_and_an_endless_word_are_read() -> None:
    assert between("a \ud83d b", "a \ud83d b") == (1, 1, 1)
    assert counts(overlap_of(asked(TWENTY), [], ["x" * 1_000_000, "", " \n"])) == (0, 0, 0)


def test_equal_questions_of_one_test_set_all_count() -> None:
    found = overlap_of(asked(TWENTY, TWENTY, "Who?", "who"), asked("Who?"), [TWENTY])
    assert (counts(found), found.short) == ((4, 4, 4), 2)


# --- a plain search --------------------------------------------------------------------------------------------------

PHRASES = ("a b a a b", "b b a + b a", "a a . b b b", "b a", "a", "+")
TEXTS = st.lists(st.sampled_from(PHRASES), min_size=1, max_size=6).map(" ".join)
"""Texts of few phrases, so that many share some of their runs and not all."""


def plain_search(test: Sequence[str], pool: Sequence[str]) -> Overlap:
    """The same by comparing every run of every question with every run of every other."""

    def runs(text: str) -> list[list[str]]:
        words = [part for part in text.split() if part.isalnum()]
        return [words[i : i + RUN_WORDS] for i in range(len(words)) if i + RUN_WORDS <= len(words)]

    def bare(text: str) -> str:
        return "".join(text.replace(".", "").split()) or text

    exact, shares, sizes = [], [], []
    for question in test:
        exact.append(any(bare(question) == bare(other) for other in pool))
        hits = [any(run == their for other in pool for their in runs(other)) for run in runs(question)]
        shares.append(sum(hits))
        sizes.append(len(hits))
    near = [
        e or (size > 0 and share / size >= NEAR_PERCENT / 100)
        for e, share, size in zip(exact, shares, sizes, strict=True)
    ]
    return Overlap(
        sum(exact),
        sum(near),
        sum(e or share > 0 for e, share in zip(exact, shares, strict=True)),
        sizes.count(0),
        sum(shares) / sum(sizes) if sum(sizes) else 0.0,
    )


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=6))
def test_a_plain_search_counts_the_same(test: list[str], pool: list[str]) -> None:
    assert overlap_of(asked(*test), asked(*pool)) == plain_search(test, pool)


@given(st.lists(st.text(max_size=40), max_size=5), st.lists(st.text(max_size=40), max_size=5))
def test_the_counts_are_nested_and_every_question_stands_in_its_own_test_set(test: list[str], pool: list[str]) -> None:
    found = overlap_of(asked(*test), asked(*pool), pool)
    assert 0 <= found.exact <= found.near <= found.any <= len(test)
    assert found.short <= len(test)
    assert overlap_of(asked(*test), asked(*reversed(test))).exact == len(test)


@given(st.text())
def test_words_are_the_same_when_read_again(text: str) -> None:
    assert words_of(" ".join(words_of(text))) == words_of(text)


# --- the seal --------------------------------------------------------------------------------------------------------


def test_a_sealed_test_split_tells_numbers_and_hands_out_no_question() -> None:
    class Watched(str):
        """A text that nobody but the split holds."""

    split = TestSplit([Example("t1", Watched(TWENTY), "gold"), Example("t2", Watched("Who?"), "gold")])
    found: Any = split.overlap(asked("who"), [TWENTY])
    assert found == Overlap(2, 2, 2, 1, 1.0)
    assert {type(value) for value in vars(found).values()} == {int, float}
    with pytest.raises(LeakError):
        split.open()
