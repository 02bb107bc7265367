"""Says on which machines the cells of a table or a folder were computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.records.load import FinishedCell
from analysis.records.machines import NOTHING_KNOWN, counted, varying_properties

MOST_NAMED = 3
"""A note names so many machines; `status` names all."""
WHERE_EXPLAINED = '"The same everywhere?" in docs/reading-results.md'


@dataclass(frozen=True)
class Compared:
    """Cells whose rows stand in one block."""

    title: str
    """The block's title."""
    cells: Sequence[FinishedCell]
    """Each cell once or more."""


def mixing_note(blocks: Sequence[Compared]) -> Iterator[str]:
    """At most one note: of the blocks whose cells come from several machines.

    It counts the cells of all such blocks, each once. The processor is always named, another property where it differs.
    """
    mixed = [block for block in blocks if varying_properties(cell.machine for cell in block.cells)]
    machines = list({cell.names.cell_id: cell.machine for block in mixed for cell in block.cells}.values())
    varying = varying_properties(machines)
    if not varying:
        return
    texts = Counter(
        ", ".join(text for name, text in machine.words().items() if name in {"processor", *varying})
        for machine in machines
    )
    shown = sorted(texts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{_cells(count)} on {words}" for words, count in shown[:MOST_NAMED]]
    if others := shown[MOST_NAMED:]:
        named.append(f"{_cells(sum(count for _, count in others))} on {len(others)} more")
    where = "" if len(mixed) == len(blocks) else f" ({'; '.join(dict.fromkeys(block.title for block in mixed))})"
    what = "machines" if varying & {"processor", "threads"} else "versions"
    yield (
        f"Rows mix {what}{where}: {'; '.join(named)}. Equal settings may round otherwise there, and training may "
        f"amplify that to some points: see {WHERE_EXPLAINED}."
    )


def machine_lines(cells: Sequence[FinishedCell]) -> Iterator[str]:
    """One line per machine, the commonest first; none where no record tells anything."""
    pairs = counted(cell.machine for cell in cells)
    if [machine for machine, _ in pairs] == [NOTHING_KNOWN]:
        return
    for machine, count in pairs:
        yield f"machines: {_cells(count)} on {', '.join(machine.words().values())}"


def machines_json(cells: Sequence[FinishedCell]) -> list[dict[str, Any]]:
    """Each machine as plain data, with the number of its cells."""
    return [{**asdict(machine), "cells": count} for machine, count in counted(cell.machine for cell in cells)]


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
