"""Pictures on a page: words for people who cannot see them, colours of the page, names of their own."""

from __future__ import annotations

import re
from typing import Any

from analysis.output.report.picture import page_colour, picture


def drawn() -> Any:
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5, 3))
    axis.plot([1, 2], [1, 3], color="#d62728", label="a<b & $x")
    axis.legend()
    return figure


def test_greys_follow_the_page_and_colours_stay() -> None:
    assert page_colour("#ffffff") == "color-mix(in srgb, var(--paper) 100%, var(--ink))"
    assert page_colour("#000000") == "color-mix(in srgb, var(--paper) 0%, var(--ink))"
    assert page_colour("#808080") == "color-mix(in srgb, var(--paper) 50%, var(--ink))"
    assert page_colour("#d62728") == "#d62728"


def test_a_picture_stands_on_the_page_alone() -> None:
    text = picture("Lines: a < b", drawn)
    assert text.count('aria-label="Lines: a &lt; b"') == 2
    assert "<figcaption>Lines: a &lt; b</figcaption>" in text
    assert "http" not in text
    assert "<!--" not in text
    assert "#ffffff" not in text
    assert "stroke: #d62728" in text
    assert "var(--paper)" in text


def test_two_pictures_share_no_names_and_equal_ones_are_equal() -> None:
    one, other = picture("one", drawn), picture("other", drawn)
    names = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, other)]
    assert names[0]
    assert not names[0] & names[1]
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', one))
    assert {name for pair in used for name in pair if name} <= names[0]
    assert picture("one", drawn) == one


def test_figures_are_closed_and_settings_are_left_as_they_were() -> None:
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    picture("one", drawn)
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
