"""Pictures on a page: words for people who cannot see them, colours of the page, names of their own."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.output.frontier_plot import frontier_figure, undominated
from analysis.output.report.picture import page_colour, picture
from analysis.output.tables import build_table
from analysis.records.load import load_records
from tests.analysis.record_files import make_record, write_record, write_small_sweep


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


def test_the_frontier_is_what_nobody_beats() -> None:
    assert undominated([(1, 1), (2, 2), (3, 2), (2, 1), (1, 1), (0, 0)]) == [5, 0, 4, 1]
    draw = random.Random(0)
    for _ in range(50):
        points = [(draw.randint(0, 5), draw.randint(0, 5)) for _ in range(8)]
        free = [
            place
            for place, (cost, value) in enumerate(points)
            if not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
        ]
        assert sorted(undominated(points)) == free


def test_the_frontier_shows_every_method_and_both_references(results: Path) -> None:
    from matplotlib import pyplot

    write_small_sweep(results)
    [block] = build_table(load_records(results)).blocks
    figure = frontier_figure(block)
    [axis] = figure.axes
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["answer_only", "elad", "gold_answers"]
    assert {text.get_text() for text in axis.texts} == {"untrained student, 1.0", "teacher itself, 95.0"}
    assert axis.get_xticklabels()[0].get_text() == "none"  # people answered gold_answers, which asked no teacher
    marks = axis.lines[0]
    assert sorted(float(y) for y in marks.get_ydata()) == pytest.approx([32.67, 34.33, 91.33], abs=0.01)
    assert len(set(marks.get_xdata())) == 2
    pyplot.close(figure)


def test_one_method_alone_and_many_methods_are_drawn(results: Path) -> None:
    from matplotlib import pyplot

    write_record(results, make_record("alone", value=0.5))
    [block] = build_table(load_records(results)).blocks
    low, high = frontier_figure(block).axes[0].get_xlim()
    assert low < 100_000 < high
    for number in range(30):
        write_record(results, make_record(f"method+number={number}", value=number / 100))
    [block] = build_table(load_records(results)).blocks
    figure = frontier_figure(block)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["alone"]  # it beats all, at equal cost
    assert len(figure.axes[0].lines[0].get_ydata()) == 31
    pyplot.close("all")
