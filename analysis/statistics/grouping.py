"""Groups cells that differ only in their seed, block by block."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.records.load import FinishedCell
from analysis.records.settings import Settings, describe, distinguishing_keys
from benchmark.records.schema import TestScore


@dataclass(frozen=True)
class BlockKey:
    """What all rows of one block share."""

    dataset: str
    """The dataset that students were trained on."""
    test_dataset: str
    """The dataset that students were tested on."""
    metric: str
    """The name of the metric."""
    student: str
    """The student's name."""
    teacher: str | None
    """The teacher's name; None if no method of the block asked one."""


@dataclass(frozen=True)
class Score:
    """One cell's result on one test set."""

    cell: FinishedCell
    test: TestScore


@dataclass(frozen=True)
class Group:
    """The scores that may be averaged: one method with one set of scientific settings, one score per seed."""

    method: str
    settings: Settings
    scores: tuple[Score, ...]

    @property
    def cut_share(self) -> float | None:
        """The share of the answers of all seeds that were cut at the cap of tokens and are not right, in [0, 1].

        None where a record does not tell: an older one, or one of a graded task.
        """
        outcomes = [score.test.outcomes for score in self.scores]
        known = [outcome for outcome in outcomes if outcome is not None]
        if len(known) < len(outcomes):
            return None
        return sum(outcome.truncated for outcome in known) / sum(outcome.total for outcome in known)

    @property
    def share_at_cap(self) -> float:
        """The share of the answers of all seeds that were cut at the cap of tokens, right or not; 0 if not counted."""
        tests = [score.test for score in self.scores]
        return sum(test.truncated_answers or 0 for test in tests) / sum(test.n for test in tests)


def blocks_of(cells: Sequence[FinishedCell]) -> dict[BlockKey, list[Score]]:
    """Every block with its scores, in a fixed order.

    A cell that asked no teacher belongs to all blocks of its dataset and student, one for each teacher.
    """
    slices: dict[tuple[str, str, str, str], list[Score]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: cell.names.cell_id):
        for test in cell.tests:
            who = cell.names
            slices[who.dataset, test.dataset, test.metric, who.student].append(Score(cell, test))
    blocks = {}
    for shared, scores in sorted(slices.items()):
        teachers = sorted({score.cell.names.teacher for score in scores} - {None}, key=str)
        for teacher in teachers or [None]:
            blocks[BlockKey(*shared, teacher)] = [s for s in scores if s.cell.names.teacher in (None, teacher)]
    return blocks


def group_scores(scores: Sequence[Score]) -> list[Group]:
    """The scores grouped by method and scientific settings, in a fixed order, each group ordered by seed."""
    grouped: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores:
        grouped[score.cell.names.method, json.dumps(_settings_of(score), sort_keys=True)].append(score)
    for members in grouped.values():
        members.sort(key=lambda score: score.cell.names.seed)
    return [Group(method, _settings_of(members[0]), tuple(members)) for (method, _), members in grouped.items()]


def _settings_of(score: Score) -> Settings:
    """The cell's settings, and everything else that must be equal if results are averaged."""
    asked = {"asked_teacher": json.dumps(score.cell.names.teacher)}
    return {**score.cell.settings, **asked, "test_examples": str(score.test.n)}


def distinct_names(labelled: Sequence[tuple[str, Settings]]) -> list[str]:
    """One name per pair: the label, or `label [settings that differ]` if several pairs have the same label."""
    variants: dict[str, list[Settings]] = defaultdict(list)
    for label, settings in labelled:
        variants[label].append(settings)
    keys = {label: distinguishing_keys(settings) for label, settings in variants.items()}
    return [f"{label} [{describe(s, keys[label])}]" if keys[label] else label for label, s in labelled]


def named_groups(scores: Sequence[Score]) -> list[tuple[str, Group]]:
    """(a name that no other group has, group), ordered by name."""
    groups = group_scores(scores)
    names = distinct_names([(group.method, group.settings) for group in groups])
    return sorted(zip(names, groups, strict=True), key=lambda pair: natural_order(pair[0]))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A sort key that puts `budget=100` before `budget=1000` and `seed 2` before `seed 10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
