"""Words, names and the look that all pictures share."""

from __future__ import annotations

import matplotlib
import pytest

from analysis.output.plots.style import (
    SMALL_POINTS,
    amount,
    looks,
    over_seeds,
    seeds_text,
    signed,
    styled,
    text_inches,
    wrapped,
)


def test_the_title_says_how_many_seeds_there_are() -> None:
    assert over_seeds([3, 3]) == "Means and 95 % t-intervals over 3 seeds"
    assert over_seeds([2, 5]) == "Means and 95 % t-intervals over 2 to 5 seeds"
    assert over_seeds([1, 3]).endswith("over 1 to 3 seeds; no interval for one seed")
    assert over_seeds([1, 1]) == "One seed, so no interval"
    assert seeds_text([1]) == "1 seed"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0125, "0.0125"), (950, "950"), (1500, "1.5k"), (3_061_900, "3.06M"), (-2000, "-2k"), (2e9, "2G")],
)
def test_amounts_are_short(value: float, text: str) -> None:
    assert amount(value) == text


def test_differences_have_a_sign() -> None:
    assert [signed(value) for value in (1.25, 0, -3)] == ["+1.2", "+0.0", "−3.0"]


def test_a_look_belongs_to_its_name_and_is_not_given_twice() -> None:
    names = [f"method_{number}" for number in range(24)]
    assert looks(reversed(names)) == looks(names)
    assert len(set(looks(names).values())) == 24


@pytest.mark.parametrize("text", ["multitask+annotation=critique_revision+format=short", "W" * 90, "two words " * 9])
def test_wrapped_lines_fit_and_lose_nothing(text: str) -> None:
    lines = wrapped(text, 1.5).split("\n")
    assert len(lines) > 1
    assert max(text_inches(line, SMALL_POINTS) for line in lines) <= 1.5
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_end_behind_a_sign() -> None:
    assert wrapped("multitask_counterfactual+annotation=critique", 1.5).split("\n")[0] == "multitask_counterfactual+"
    assert wrapped("short", 1.5) == "short"
    assert wrapped("one\ntwo", 1.5) == "one\ntwo"


def test_settings_of_a_notebook_stay_as_they_were() -> None:
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    with styled():
        assert matplotlib.rcParams["text.parse_math"] is False
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend() == backend
