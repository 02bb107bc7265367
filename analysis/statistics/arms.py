"""Which methods of a block differ in one axis, and which four cross two axes, as their labels say.

A label is the name of a preset, then `+` and a setting for each axis that differs from it, such as
`elad+selection=random`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from analysis.statistics.grouping import natural_order


@dataclass(frozen=True)
class Change:
    """One setting that a method has and another lacks."""

    setting: str
    """The part of the label, such as `selection=random`."""

    @property
    def axis(self) -> str:
        """What is changed, such as `selection`."""
        return self.setting.partition("=")[0]


@dataclass(frozen=True)
class Crossing:
    """Two changes that were made alone and together."""

    neither: str
    """The label without both."""
    only_first: str
    """The label with the first change alone."""
    only_second: str
    """The label with the second change alone."""
    both: str
    """The label with both."""
    first: Change
    """The first change."""
    second: Change
    """The second change."""


def one_change(base: str, labels: Iterable[str]) -> Mapping[str, Change]:
    """Label -> its one change, for the labels that are `base` with one setting more, or with another value of one axis.

    A value that `base` has and the label has not is no change by itself.
    """
    start, settings = _parts(base)
    found = {}
    for label in sorted(set(labels) - {base}, key=natural_order):
        preset, others = _parts(label)
        added = others - settings
        if preset == start and len(added) == 1 and _axes(settings - others) <= _axes(added):
            found[label] = Change(*added)
    return found


def crossings(labels: Iterable[str]) -> list[Crossing]:
    """All fours of labels in which two settings of different axes are each there or not; each four once."""
    known = set(labels)
    by_parts = {_parts(label): label for label in known}
    found = []
    for base in sorted(known, key=natural_order):
        preset, settings = _parts(base)
        changes = list(one_change(base, known).items())
        for (first_label, first), (second_label, second) in combinations(changes, 2):
            together = by_parts.get((preset, _with(settings, first, second)))
            if first.axis == second.axis or together is None:
                continue
            if base == min((base, first_label, second_label, together), key=natural_order):
                found.append(Crossing(base, first_label, second_label, together, first, second))
    return found


def _with(settings: frozenset[str], *changes: Change) -> frozenset[str]:
    """The settings with the changes; each takes the place of a value of its axis."""
    changed = {change.axis for change in changes}
    kept = {setting for setting in settings if setting.partition("=")[0] not in changed}
    return frozenset(kept | {change.setting for change in changes})


def _axes(settings: Iterable[str]) -> set[str]:
    return {setting.partition("=")[0] for setting in settings}


def _parts(label: str) -> tuple[str, frozenset[str]]:
    preset, *settings = label.split("+")
    return preset, frozenset(settings)
