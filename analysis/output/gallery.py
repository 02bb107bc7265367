"""One page of what stored records say: per experiment its question, where it ran, and what commands show of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from analysis.records.archive import SUFFIX
from analysis.records.load import Records, ResultsError

INTRODUCTION = """# Results

Experiments that ran as they stand in `conf/experiment/`, with small students on a CPU: they show what the harness can
tell apart, and are no claim about large models. Every table and picture comes from the command above it and from
records that are kept beside this page; `tar xf` turns an archive into a results folder for any other command. Intervals
are 95 %, over seeds and test questions ([Statistics](statistics.md)).

This page is made by `python -m analysis gallery --archives docs/results --output docs/results.md`; a test fails where
it says anything that the records do not.
"""


class Entry(BaseModel):
    """One experiment of the gallery."""

    model_config = ConfigDict(extra="forbid")

    question: str
    """What the experiment asks, and what its answer was, for readers."""
    read_more: str
    """The page that discusses it, seen from the gallery's page."""
    show: tuple[str, ...]
    """Commands of the analysis, without `--results` and `--output`."""


@dataclass(frozen=True)
class Shown:
    """What one command showed."""

    command: str
    """As in `Entry.show`."""
    text: str
    """What it printed; empty for a picture."""
    pictures: Sequence[Path] = ()
    """The pictures that it drew, each with a csv of its name."""


@dataclass(frozen=True)
class Section:
    """One experiment of the page."""

    name: str
    """The name of the archive, and of the experiment in `conf/experiment/`."""
    entry: Entry
    """What is asked and shown."""
    records: Records
    """All records of the archive."""
    shown: Sequence[Shown]
    """What each command showed, in order."""


def read_gallery(path: Path) -> dict[str, Entry]:
    """The experiments of a `gallery.yaml`: name of the archive -> entry. Raises ResultsError if it cannot be used."""
    try:
        return TypeAdapter(dict[str, Entry]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{path}: {place}: {first['msg']}; an entry has question, read_more and show") from error
    except (OSError, yaml.YAMLError) as error:
        raise ResultsError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def gallery_page(sections: Sequence[Section], folder: str) -> str:
    """The page as markdown; `folder` is where archives and pictures are, seen from the page."""
    return "\n".join([INTRODUCTION, *(_section(section, folder) for section in sections)])


def _section(section: Section, folder: str) -> str:
    name, entry = section.name, section.entry
    lines = [
        f"## {name}",
        entry.question.strip(),
        f"`python -m benchmark experiment={name}`: {_origin(section.records)}. Records: "
        f"[{name}{SUFFIX}]({folder}/{name}{SUFFIX}). More: [{Path(entry.read_more).name}]({entry.read_more}).",
    ]
    for shown in section.shown:
        lines.append(f"```bash\npython -m analysis {shown.command} --results results/{name}\n```")
        lines += [shown.text.strip()] if shown.text else []
        lines += [f"![{shown.command}]({folder}/{path.name})" for path in shown.pictures]
    return "\n\n".join(lines) + "\n"


def _origin(records: Records) -> str:
    """How many cells there are, and what they ran on."""
    cells = records.complete
    failed = f", {len(records.failed)} failed" if records.failed else ""
    commits = _most(Counter(cell.commit or "an unknown commit" for cell in cells))
    processors = _most(Counter(cell.provenance.computed_on or "an unknown processor" for cell in cells))
    days = sorted({(cell.provenance.finished or "")[:10] for cell in cells} - {""})
    when = f", {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "") if days else ""
    return f"{len(cells)} cells{failed}, at {commits} on {processors}{when}"


def _most(counts: Counter[str]) -> str:
    """The names, the most frequent one first."""
    return ", ".join(name for name, _ in counts.most_common())
