"""`pack` and `gallery`: records as one small file, and one page of what packed records say."""

from __future__ import annotations

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from analysis.commands.options import ResultsOption, finish, readable, wrote
from analysis.output.gallery import Section, Shown, gallery_page, read_gallery
from analysis.output.terminal import home_path, write_bytes, write_text
from analysis.records.archive import SUFFIX, packed, unpacked
from analysis.records.load import ResultsError


def pack(
    results: ResultsOption,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The archive, a .tar.xz file.", parser=home_path)],
) -> None:
    """Keep all records and outcomes in one small file, without texts and weights.

    Example: python -m analysis pack --results results/quickstart --output quickstart.tar.xz
    """
    content, problems = packed(readable(results))
    write_bytes(content, output)
    wrote([output])
    finish(problems)


def gallery(
    context: typer.Context,
    archives: Annotated[
        Path, typer.Option(metavar="DIR", help="Where gallery.yaml and the archives are.", parser=home_path)
    ],
    output: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The page; pictures go to a folder of its name beside it.", parser=home_path),
    ],
) -> None:
    """One page of tables and pictures from packed records, each with the command that makes it.

    Example: python -m analysis gallery --archives docs/results --output docs/results.md
    """
    sections = []
    for name, entry in read_gallery(archives / "gallery.yaml").items():
        with unpacked(archives / f"{name}{SUFFIX}") as folder:
            stem = output.with_suffix("") / name
            shown = [_shown(context, command, folder, stem) for command in entry.show]
            sections.append(Section(name, entry, readable([folder]), shown))
    write_text(gallery_page(sections, output.stem), output)
    wrote([output])


def _shown(context: typer.Context, command: str, folder: Path, stem: Path) -> Shown:
    """Runs a command of the analysis on a results folder; pictures get names that begin with `stem`."""
    words = shlex.split(command)
    if words[0] != "plot":
        with TemporaryDirectory() as scratch:
            text = Path(scratch) / "text"
            _run(context, [*words, "--results", str(folder), "--output", str(text)])
            return Shown(command, text.read_text(encoding="utf-8"))
    own = stem.with_name(f"{stem.name}-{words[1]}")
    _run(context, [*words, "--results", str(folder), "--output", str(own)])
    several = sorted(own.parent.glob(f"{own.name}-[0-9]*.png"))
    return Shown(command, "", several or [own.with_name(f"{own.name}.png")])


def _run(context: typer.Context, arguments: list[str]) -> None:
    """Raises ResultsError where the command does not end well; it has said why."""
    try:
        context.find_root().command.main(arguments)
    except SystemExit as left:
        if left.code:
            raise ResultsError(f"`{shlex.join(arguments)}` ended with status {left.code}") from left
