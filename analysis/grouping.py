"""Puts cells that differ in nothing but the seed together, block by block."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.load import Cell, TestScore
from analysis.settings import Settings, describe, distinguishing_keys


@dataclass(frozen=True)
class BlockKey:
    """What all rows of one block share.

    `dataset` is what was trained on; `teacher` is None where no method asked one.
    """

    dataset: str
    test_dataset: str
    metric: str
    student: str
    teacher: str | None


@dataclass(frozen=True)
class Score:
    """One cell's result on one test set."""

    cell: Cell
    test: TestScore


@dataclass(frozen=True)
class Group:
    """The scores that may be averaged: one method with one set of scientific settings, one score per seed.

    `is_copy` marks a lone score that was kept apart because its seed occurs twice among equal settings.
    """

    method: str
    settings: Settings
    scores: tuple[Score, ...]
    is_copy: bool = False


def blocks_of(cells: Sequence[Cell]) -> dict[BlockKey, list[Score]]:
    """Every block with its scores, in a fixed order.

    A cell that asked no teacher is in the block of every teacher of its dataset and student.
    """
    slices: dict[tuple[str, str, str, str], list[Score]] = defaultdict(list)
    for cell in sorted(cells, key=lambda cell: cell.identity.cell_id):
        for test in cell.tests:
            who = cell.identity
            slices[who.dataset, test.dataset, test.metric, who.student].append(Score(cell, test))
    blocks = {}
    for shared, scores in sorted(slices.items()):
        teachers = sorted({score.cell.identity.teacher for score in scores} - {None}, key=str)
        for teacher in teachers or [None]:
            blocks[BlockKey(*shared, teacher)] = [s for s in scores if s.cell.identity.teacher in (None, teacher)]
    return blocks


def group_scores(scores: Sequence[Score], short_ids: Mapping[str, str]) -> list[Group]:
    """The scores grouped by method and scientific settings, in a fixed order.

    Equal settings with one seed twice are not two samples: something that the config does not show (code, data)
    differs. Each such record becomes a group of its own, told apart by its id.
    """
    grouped: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores:
        grouped[score.cell.identity.method, json.dumps(_settings_of(score), sort_keys=True)].append(score)
    groups = []
    for (method, _), members in grouped.items():
        members.sort(key=lambda score: (score.cell.identity.seed, score.cell.identity.cell_id))
        settings = _settings_of(members[0])
        if len({score.cell.identity.seed for score in members}) == len(members):
            groups.append(Group(method, settings, tuple(members)))
        else:
            groups += [_copy_of(score, settings, short_ids) for score in members]
    return groups


def _settings_of(score: Score) -> Settings:
    """The cell's settings and what else must be equal before results are averaged."""
    asked = {"asked_teacher": json.dumps(score.cell.identity.teacher)}
    return {**score.cell.settings, **asked, "test_examples": str(score.test.num_examples)}


def _copy_of(score: Score, settings: Settings, short_ids: Mapping[str, str]) -> Group:
    record = json.dumps(short_ids[score.cell.identity.cell_id])
    return Group(score.cell.identity.method, {**settings, "record": record}, (score,), is_copy=True)


def distinct_names(labelled: Sequence[tuple[str, Settings]]) -> list[str]:
    """One name per labelled setting: the label, and where several share it, `label [what differs]`."""
    variants: dict[str, list[Settings]] = defaultdict(list)
    for label, settings in labelled:
        variants[label].append(settings)
    keys = {label: distinguishing_keys(settings) for label, settings in variants.items()}
    return [f"{label} [{describe(s, keys[label])}]" if keys[label] else label for label, s in labelled]


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A sort key that puts `budget=100` before `budget=1000` and `seed 2` before `seed 10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
