"""What every kind of picture hands over, and how it is saved: png, pdf, and the plotted numbers as csv."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.output.plots.style import styled
from analysis.output.terminal import write_bytes, write_text
from analysis.records.load import Problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf")
NOT_IN_THE_FILE = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}
"""What a file would hold beside the picture, so that equal numbers give equal files."""


@dataclass(frozen=True)
class Picture:
    """One picture that can be drawn."""

    frame: pd.DataFrame
    """The plotted numbers."""
    draw: Callable[[], Figure]
    """Draws them; called while the style of all pictures is set."""


@dataclass(frozen=True)
class Drawing:
    """The pictures of one kind over all blocks, and what they leave out."""

    pictures: Sequence[Picture]
    """At least one."""
    notes: Sequence[str] = ()
    """Sentences on what is not drawn, and why."""
    problems: Sequence[Problem] = ()
    """The files that could not be read."""


def write_pictures(pictures: Sequence[Picture], path: Path) -> list[Path]:
    """Writes `STEM.png`, `STEM.pdf` and `STEM.csv`, of several pictures `STEM-1.png` and so on; returns the paths.

    A failed write leaves an old file unchanged.
    """
    stem = path.with_suffix("") if path.suffix in (*FORMATS, ".csv") else path  # another dot belongs to the name
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for number, picture in enumerate(pictures, 1):
        own = stem if len(pictures) == 1 else stem.with_name(f"{stem.name}-{number}")
        with styled():
            written += save(picture.draw(), own)
        points = own.with_name(f"{own.name}.csv")
        write_text(picture.frame.to_csv(index=False, lineterminator="\n"), points)
        written.append(points)
    return written


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes the picture as png and as pdf; returns their paths."""
    written = [stem.with_name(f"{stem.name}{suffix}") for suffix in FORMATS]
    for target in written:
        content = io.BytesIO()
        figure.savefig(content, format=target.suffix[1:], metadata=NOT_IN_THE_FILE[target.suffix])
        write_bytes(content.getvalue(), target)
        figure.set_layout_engine("none")  # the places that were found for the first file hold for the second
    return written
