"""How a tracker of experiments, such as Weights & Biases, shows a cell: while it runs, and from its record later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.records.record_parts import LedgerEntry, RoundRecord
    from benchmark.records.schema import CellResult, RecordHeader

LONGEST_TAG = 64
"""Characters; W&B refuses a run with a longer tag."""
STEP_AXIS = "trainer/global_step"
"""The horizontal axis of all curves, by the name that Lightning's W&B logger gives it."""
EXAMPLES_TABLE = "test/examples"
"""The table of test questions with what the student wrote."""
EXAMPLE_COLUMNS = ("example_id", "prompt", "text", "rationale", "answer", "gold", "correct", "outcome")
"""What that table shows of `predictions.parquet`."""


@dataclass(frozen=True)
class TrackedCell:
    """What a tracker is given of a cell before its first number."""

    cell_id: str
    """The id of the run too, so that one cell is one run."""
    name: str
    """The cell in one line."""
    group: str | None
    """The name of the sweep's manifest; None for a cell that no sweep names."""
    tags: tuple[str, ...]
    """Method, dataset, student and seed."""
    config: Mapping[str, Any]
    """The names of the cell, and under `settings` its whole resolved configuration."""


def tracked_cell(header: RecordHeader, group: str | None) -> TrackedCell:
    """What a tracker is given of the cell of this header, which may be the one of its record."""
    names = {name: getattr(header, name) for name in type(header.names).model_fields}
    return TrackedCell(
        cell_id=header.cell_id,
        name=f"{header.method} on {header.dataset}, student {header.student}, seed {header.seed}",
        group=group,
        tags=tuple(map(_tag, (header.method, header.dataset, header.student, f"seed {header.seed}"))),
        config={**names, "data_seed": header.data_seed, "settings": header.config},
    )


def _tag(text: str) -> str:
    return text if len(text) <= LONGEST_TAG else f"{text[: LONGEST_TAG - 1]}…"


def round_metrics(record: RoundRecord) -> dict[str, float]:
    """What loggers get when a round is finished, beside its validation.

    `annotated`, then the running totals of the whole cell as `charged/SOURCE/AMOUNT` and `spent/SOURCE/AMOUNT`, then
    `note/NAME` for all that the method's parts counted in this round. An amount that nobody knows is left out.
    """
    metrics: dict[str, float] = {"round": record.index}
    if record.annotated is not None:
        metrics["annotated"] = record.annotated
    metrics |= {f"charged/{name}": amount for name, amount in _amounts(record.charged).items()}
    metrics |= {f"spent/{name}": amount for name, amount in _amounts(record.spent).items()}
    return metrics | {f"note/{name}": value for name, value in record.notes.items()}


def _amounts(book: Mapping[str, LedgerEntry]) -> dict[str, float]:
    amounts = {
        f"{source}/{name}": getattr(entry, name) for source, entry in book.items() for name in type(entry).model_fields
    }
    return {name: amount for name, amount in amounts.items() if amount is not None}


def final_metrics(result: CellResult) -> dict[str, float]:
    """`test/METRIC` of the cell's own test set, and `test/DATASET/METRIC` of each further one."""
    own, *further = result.test
    return {f"test/{own.metric}": own.value} | {f"test/{each.dataset}/{each.metric}": each.value for each in further}
