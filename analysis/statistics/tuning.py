"""The learning rate that validation chooses for each method, out of the rates that were tried."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.records.frames import setting
from analysis.records.load import UNTRAINED_METHOD, FinishedCell, Records
from analysis.statistics.grouping import BlockKey, Group, blocks_of, distinct_names, group_scores

RATE = "optimization.learning_rate"


@dataclass(frozen=True)
class TriedRate:
    """One learning rate of a search."""

    learning_rate: float
    """The rate."""
    validation: float
    """The mean over seeds of the last round's validation result, in [0, 1]."""
    group: Group
    """The cells with this rate, which differ in the seed alone."""


@dataclass(frozen=True)
class Search:
    """The cells of one method that differ in seed and learning rate alone."""

    key: BlockKey
    """The block of the table that they stand in."""
    method: str
    """A name that is unique in the block."""
    rates: tuple[TriedRate, ...]
    """The tried rates, the lowest first."""

    @property
    def chosen(self) -> TriedRate:
        """The rate with the best validation result; of equal ones, the lowest."""
        return max(self.rates, key=lambda tried: (tried.validation, -tried.learning_rate))

    @property
    def is_at_an_end(self) -> bool:
        """Whether the chosen rate is the lowest or the highest that was tried, so that a better one may lie outside."""
        return self.chosen in (self.rates[0], self.rates[-1])

    @property
    def cells(self) -> list[FinishedCell]:
        """All cells of the search."""
        return [score.cell for tried in self.rates for score in tried.group.scores]


def searches(records: Records) -> list[Search]:
    """All searches: methods of which cells with several learning rates finished, each rate with the same seeds.

    The test scores play no part. Seeds that not every rate has are left out.
    """
    found = []
    for key, scores in blocks_of(records.complete).items():
        if key.test_dataset != key.dataset:
            continue
        families: dict[tuple[str, str], list[Group]] = defaultdict(list)
        for group in group_scores(scores):
            if group.method != UNTRAINED_METHOD and RATE in group.settings:
                families[group.method, _without_rate(group)].append(group)
        several = [(method, groups) for (method, _), groups in families.items() if len(groups) > 1]
        names = distinct_names([(method, groups[0].settings) for method, groups in several])
        tried = ((name, _tried(groups)) for name, (_, groups) in zip(names, several, strict=True))
        found += [Search(key, name, rates) for name, rates in tried if len(rates) > 1]
    return found


def at_chosen_rates(records: Records) -> Records:
    """The records without the cells of searches whose rate was not chosen."""
    lost = {
        score.cell.names.cell_id
        for search in searches(records)
        for tried in search.rates
        if tried is not search.chosen
        for score in tried.group.scores
    }
    return replace(records, complete=tuple(cell for cell in records.complete if cell.names.cell_id not in lost))


def _without_rate(group: Group) -> str:
    return json.dumps({key: value for key, value in group.settings.items() if key != RATE}, sort_keys=True)


def _tried(groups: Sequence[Group]) -> tuple[TriedRate, ...]:
    """The rates with the seeds that all of them have and that were validated; empty if there are none."""
    validated = [[score for score in group.scores if _validation(score.cell) is not None] for group in groups]
    shared = set.intersection(*({score.cell.names.seed for score in scores} for scores in validated))
    if not shared:
        return ()
    rates = []
    for group, scores in zip(groups, validated, strict=True):
        kept = tuple(score for score in scores if score.cell.names.seed in shared)
        values = [value for score in kept if (value := _validation(score.cell)) is not None]
        rate = float(setting(kept[0].cell, RATE))
        rates.append(TriedRate(rate, math.fsum(values) / len(values), replace(group, scores=kept)))
    return tuple(sorted(rates, key=lambda tried: tried.learning_rate))


def _validation(cell: FinishedCell) -> float | None:
    """The last round's validation result; None where there is none."""
    results = cell.rounds[-1].validation if cell.rounds else {}
    return next(iter(results.values()), None)
