"""Searches of the learning rate as text, and as rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.output.notes import title_of
from analysis.output.render import markdown_table
from analysis.statistics.intervals import mean_with_t_interval
from analysis.statistics.tuning import Search, TriedRate

COLUMNS = ("method", "learning rate", "chosen", "validation %", "test %", "seeds", "steps", "seconds")
NOTES = (
    "The rate with the best mean validation result is chosen; the test results play no part. Steps and seconds are of "
    "training, all seeds together: the search cost the rows that were not chosen.",
    "`table --tuned` shows the chosen rates alone.",
)


def tuning_frame(found: Sequence[Search]) -> pd.DataFrame:
    """One row per search and rate, shares in [0, 1]."""
    rows = [
        {
            "dataset": search.key.dataset, "student": search.key.student, "teacher": search.key.teacher,
            "method": search.method, "learning_rate": tried.learning_rate, "chosen": tried is search.chosen,
            "validation": tried.validation, "test": mean_with_t_interval(_tests(tried)).mean,
            "seeds": len(tried.group.scores), "optimiser_steps": _steps(tried), "training_seconds": _seconds(tried),
            "training_flops": sum(score.cell.train.flops for score in tried.group.scores),
        }
        for search in found
        for tried in search.rates
    ]  # fmt: skip
    return pd.DataFrame(rows)


def tuning_table(found: Sequence[Search]) -> str:
    """Markdown: one table per block, then notes."""
    parts = []
    for key in dict.fromkeys(search.key for search in found):
        rows = [_row(search, tried) for search in found if search.key == key for tried in search.rates]
        parts.append(f"### {title_of(key)}\n\n{markdown_table(COLUMNS, rows)}")
    notes = [*NOTES, *_unequal(found), *(_at_an_end(search) for search in found if search.is_at_an_end)]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _row(search: Search, tried: TriedRate) -> list[str]:
    interval = mean_with_t_interval([100 * value for value in _tests(tried)])
    width = "" if interval.half_width is None else f" ± {interval.half_width:.1f}"
    return [
        search.method,
        f"{tried.learning_rate:g}",
        "yes" if tried is search.chosen else "",
        f"{100 * tried.validation:.1f}",
        f"{interval.mean:.1f}{width}",
        str(len(tried.group.scores)),
        f"{_steps(tried):,}",
        f"{_seconds(tried):,.0f}",
    ]


def _tests(tried: TriedRate) -> list[float]:
    return [score.test.value for score in tried.group.scores]


def _steps(tried: TriedRate) -> int:
    return sum(score.cell.train.optimiser_steps for score in tried.group.scores)


def _seconds(tried: TriedRate) -> float:
    return sum(score.cell.train.seconds for score in tried.group.scores)


def _unequal(found: Sequence[Search]) -> list[str]:
    """A note for each block whose methods were not searched alike."""
    notes = []
    for key in dict.fromkeys(search.key for search in found):
        of_block = [search for search in found if search.key == key]
        grids = {search.method: [f"{tried.learning_rate:g}" for tried in search.rates] for search in of_block}
        if len({tuple(grid) for grid in grids.values()}) > 1:
            each = "; ".join(f"{method}: {', '.join(grid)}" for method, grid in grids.items())
            notes.append(f"{title_of(key)}: methods were not searched alike, so the comparison is not fair ({each}).")
    return notes


def _at_an_end(search: Search) -> str:
    where = "lowest" if search.chosen is search.rates[0] else "highest"
    return (
        f"{title_of(search.key)}: {search.method} chose the {where} rate that was tried "
        f"({search.chosen.learning_rate:g}); a better one may lie beyond."
    )
