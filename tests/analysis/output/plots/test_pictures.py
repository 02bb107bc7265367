"""Every kind of picture with twelve names of 100 characters: no text is cut or lies on another; files are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from analysis.output.plots.agreement import agreement_drawing
from analysis.output.plots.cost import cost_drawing
from analysis.output.plots.critical_difference import critical_difference_drawing
from analysis.output.plots.curves import curves_drawing
from analysis.output.plots.forest import forest_drawing
from analysis.output.plots.frontier import Cost, frontier_drawing
from analysis.output.plots.picture import Drawing, Picture, write_pictures
from analysis.output.plots.reliability import reliability_drawing
from analysis.output.plots.style import WIDTH_INCHES, new_figure, put_title, styled
from analysis.output.plots.training import training_drawing
from analysis.records.load import Records, load_records
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.curves import known_curves
from tests.analysis.output.plots.plot_files import LONG, write_cells

WIDE = [f"{LONG}{letter * 20}" for letter in "abcdefghijk"]
UNBROKEN = "W" * 100
"""A name without a place to break it, of the widest letter; it shares no beginning with the others."""
KINDS: dict[str, Callable[[Records], Drawing]] = {
    "frontier": lambda records: frontier_drawing(records, Cost.TOKENS, OutcomeFiles()),
    "curves": lambda records: curves_drawing(known_curves(records)),
    "forest": lambda records: forest_drawing(records, WIDE[0]),
    "critical_difference": critical_difference_drawing,
    "reliability": reliability_drawing,
    "agreement": agreement_drawing,
    "training": training_drawing,
    "cost": cost_drawing,
}
OF_ONE_METHOD = sorted(KINDS.keys() - {"forest", "critical_difference", "agreement"})
"""What one method with one seed is enough for."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Twelve methods with two seeds."""
    folder = tmp_path_factory.mktemp("many")
    write_cells(folder, [*WIDE, UNBROKEN], seeds=(1, 2))
    return load_records(folder)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """One method with one seed."""
    folder = tmp_path_factory.mktemp("single")
    write_cells(folder, ["elad"], seeds=(1,))
    return load_records(folder)


def drawn(picture: Picture) -> Figure:
    with styled():
        return picture.draw()


def shown_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> dict[str, Bbox]:
    """Every text that is really drawn -> its box in inches; ticks beyond an axis are not drawn."""
    found: list[Text] = []
    draw = Text.draw
    with monkeypatch.context() as patch, styled():
        patch.setattr(Text, "draw", lambda self, renderer: (found.append(self), draw(self, renderer))[1])
        figure.draw_without_rendering()
    texts = [text for text in dict.fromkeys(found) if text.get_text().strip()]
    boxes = [text.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for text in texts]
    return {f"{number} {text.get_text()}": box for number, (text, box) in enumerate(zip(texts, boxes, strict=True))}


def overlapping(boxes: dict[str, Bbox]) -> Iterator[tuple[str, str]]:
    """Pairs of texts that lie on each other by more than a hundredth of an inch."""
    smaller = {name: box.padded(-0.01) for name, box in boxes.items() if min(box.width, box.height) > 0.02}
    yield from ((a, b) for a, b in combinations(smaller, 2) if smaller[a].overlaps(smaller[b]))


def assert_readable(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> dict[str, Bbox]:
    boxes = shown_texts(figure, monkeypatch)
    sheet = Bbox([[0, 0], [WIDTH_INCHES, figure.get_figheight()]]).padded(0.01)
    cut = [name for name, box in boxes.items() if not (sheet.contains(*box.p0) and sheet.contains(*box.p1))]
    assert not cut
    assert not list(overlapping(boxes))
    return boxes


@pytest.mark.parametrize("kind", KINDS)
def test_long_names_are_whole_and_readable(kind: str, many: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    [picture] = KINDS[kind](many).pictures
    texts = assert_readable(drawn(picture), monkeypatch)
    everything = "".join(texts).replace("\n", "").replace(" ", "")
    for name in [*WIDE[1:], UNBROKEN]:  # the baseline of the forest stands in its title
        assert name.rpartition("+")[2] in everything
    assert any("2 seeds" in text for text in texts)


@pytest.mark.parametrize("kind", OF_ONE_METHOD)
def test_one_method_and_one_seed_are_drawn_and_said(
    kind: str, single: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    [picture] = KINDS[kind](single).pictures
    texts = assert_readable(drawn(picture), monkeypatch)
    assert any("elad" in text for text in texts)
    assert any("ne seed" in text or "1 seed" in text for text in texts)


def test_an_overlap_would_be_found(single: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(KINDS["cost"](single).pictures[0])
    figure.axes[0].set_title("one text on another", y=1)
    figure.axes[1].text(0.5, 1.1, "one text on another", transform=figure.axes[0].transAxes)
    figure.text(0.99, 0.5, "beyond the sheet")
    boxes = shown_texts(figure, monkeypatch)
    assert list(overlapping(boxes))
    assert [name for name, box in boxes.items() if box.x1 > WIDTH_INCHES]


def small_picture() -> Picture:
    def draw() -> Figure:
        figure = new_figure(1.0)
        figure.subplots().plot([0.1, 0.2])
        put_title(figure, "Two points")
        return figure

    return Picture(pd.DataFrame({"x": [0, 1], "y": [0.1, 0.2]}), draw)


def test_files_are_written_and_equal_numbers_give_equal_files(tmp_path: Path) -> None:
    content = {}
    for folder in ("first", "second"):
        paths = write_pictures([small_picture()], tmp_path / folder / "p_0.5.pdf")
        assert [path.name for path in paths] == ["p_0.5.png", "p_0.5.pdf", "p_0.5.csv"]
        assert {path.name for path in (tmp_path / folder).iterdir()} == {path.name for path in paths}
        content[folder] = [path.read_bytes() for path in paths]
    assert content["first"] == content["second"]
    png, pdf, csv = content["first"]
    assert png.startswith(b"\x89PNG")
    assert pdf.startswith(b"%PDF")
    assert csv == b"x,y\n0,0.1\n1,0.2\n"


def test_several_pictures_are_numbered(tmp_path: Path) -> None:
    paths = write_pictures([small_picture(), small_picture()], tmp_path / "cost_0.5")
    assert [path.name for path in paths if path.suffix == ".csv"] == ["cost_0.5-1.csv", "cost_0.5-2.csv"]
