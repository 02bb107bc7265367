"""How a verdict is read, and what two verdicts amount to."""

from __future__ import annotations

import pytest

from benchmark.judging.verdicts import outcome, preferred, read_verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A", "A"),
        (" b.", "B"),
        ("**Tie**", "tie"),
        ('"B"', "B"),
        ("(A)", "A"),
        ("Verdict: B", "B"),
        ("**Verdict:** A", "A"),
        ("Student B", "B"),
        ("Explanation A.", "A"),
        ("B\n\nStudent A says more, but ...\nVerdict: A", "B"),
        ("Student A is short. Student B names all.\n\nVerdict: B", "B"),
        ("At first I would say verdict: A.\nBut no.\nFinal verdict: tie", "tie"),
        ("Student A is clear.\nStudent B is not.\nA", "A"),
        ("A, because it names every trait.", "A"),
        ("tie because both say the same", "tie"),
        ("", None),
        ("  \n ", None),
        ("A good explanation names all.", None),
        ("Student A: fine. Student B: better.", None),
        ("Both are good.", None),
        ("Verdict: A's is better", None),
        ("Verdict: Both", None),
        ("C", None),
    ],
)
def test_a_verdict_is_read_where_it_is_stated(text: str, verdict: str | None) -> None:
    assert read_verdict(text) == verdict


def test_a_place_becomes_a_cell() -> None:
    assert preferred("A", "first") == preferred("B", "second") == "first"
    assert preferred("B", "first") == preferred("A", "second") == "second"
    assert preferred("tie", "first") == "tie"
    assert preferred(None, "second") is None


def test_two_orders_amount_to_one_outcome() -> None:
    assert outcome("first", "first") == "first"
    assert outcome("second", "second") == "second"
    assert outcome("tie", "tie") == outcome("first", "tie") == outcome("tie", "second") == "tie"
    assert outcome("first", "second") == outcome("second", "first") == "position"
    assert outcome("first", None) == outcome(None, "tie") == outcome(None, None) == "unread"
