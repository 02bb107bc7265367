"""Reference rows of every block (untrained student, teacher itself), and how much of their gap a method closes."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.records.settings import Settings
from analysis.statistics.grouping import BlockKey, Group, Score
from benchmark.records.schema import TeacherReference

UNTRAINED_NAME = "untrained student"
TEACHER_NAME = "teacher itself"
TEACHER_GROUPS = frozenset({"teacher", "dataset"})
DISTRIBUTIONS = "distribution_teacher"
"""The group of settings of a teacher whose distributions a loss reads, beside the teacher that writes texts."""
MUST_AGREE = frozenset({"dataset", "student", "evaluation", "data_seed", "test_examples"})


@dataclass(frozen=True)
class TeacherGroup:
    """The teacher's own result under one set of teacher settings, from the records of one or several cells."""

    settings: Settings
    """The settings of teacher and dataset, and of the format where the teacher was asked as the student is."""
    distributions_of: str | None
    """The name of the teacher whose distributions students learnt from; None where it was asked for texts."""
    split: str
    """The split that the teacher answered."""
    num_examples: int
    """How many questions it answered."""
    num_asked: int
    """How many questions the split has."""
    values: tuple[float, ...]
    """The result in each record, in [0, 1]."""
    cell_ids: tuple[str, ...]
    """The ids of these records, in the order of `values`."""

    @property
    def mean(self) -> float:
        """The mean over the records, which normally all hold the same value."""
        return math.fsum(self.values) / len(self.values)

    @property
    def label(self) -> str:
        """The row's name before settings are added."""
        name = TEACHER_NAME if self.distributions_of is None else f"{TEACHER_NAME}: {self.distributions_of}"
        return name if self.split == "test" else f"{name} ({self.split} split)"

    @property
    def naming_settings(self) -> Settings:
        """The settings with the number of questions, so that no two groups get one name."""
        return {**self.settings, "questions": str(self.num_examples)}


def teacher_groups(key: BlockKey, scores: Sequence[Score]) -> list[TeacherGroup]:
    """The teacher's own results in the block; empty for an extra test set, because records do not contain them."""
    if key.dataset != key.test_dataset:
        return []
    grouped: dict[tuple[str, str, str, int], list[tuple[Score, TeacherReference]]] = defaultdict(list)
    for score in scores:
        reference = score.cell.teacher_reference
        if reference is None or reference.metric != key.metric:
            continue
        if score.cell.names.teacher is not None or reference.distributions_of is not None:
            settings = json.dumps(_teacher_settings(score.cell.settings, reference), sort_keys=True)
            shown = reference.distributions_of or ""
            grouped[settings, shown, reference.split, reference.n].append((score, reference))
    return [_teacher_group(members) for _, members in sorted(grouped.items())]


def _teacher_group(members: Sequence[tuple[Score, TeacherReference]]) -> TeacherGroup:
    score, reference = members[0]
    values = tuple(other.value for _, other in members)
    ids = tuple(member.cell.names.cell_id for member, _ in members)
    settings, asked = _teacher_settings(score.cell.settings, reference), reference.num_asked
    return TeacherGroup(settings, reference.distributions_of, reference.split, reference.n, asked, values, ids)


def _teacher_settings(settings: Settings, reference: TeacherReference) -> Settings:
    groups = TEACHER_GROUPS
    if reference.distributions_of is not None:
        groups = frozenset({DISTRIBUTIONS if _has_own(settings) else "teacher", "dataset", "format"})
    return {key: settings[key] for key in sorted(settings) if key.split(".")[0] in groups}


def _has_own(settings: Settings) -> bool:
    """Whether the loss reads a teacher of its own, beside the one that writes texts."""
    return any(key.split(".")[0] == DISTRIBUTIONS for key in settings)


def group_mean(group: Group) -> float:
    """The mean result over the group's seeds."""
    return math.fsum(score.test.value for score in group.scores) / len(group.scores)


def gap_closed(group: Group, untrained: Sequence[Group], teachers: Sequence[TeacherGroup]) -> float | None:
    """`(method - untrained) / (teacher - untrained)` of the means; 1 if the method is as good as its teacher.

    None if a reference is missing or not unique, and if the teacher is not better than the untrained student, because
    then there is no gap. A method that learnt from a teacher's distributions is compared with that teacher.
    """
    asked = group.scores[0].cell.names.teacher is not None
    shown = {reference.distributions_of for score in group.scores if (reference := score.cell.teacher_reference)}
    if shown - {None}:
        asked, teachers = True, [teacher for teacher in teachers if teacher.distributions_of in shown]
    elif _has_own(group.settings):
        return None
    else:
        teachers = [teacher for teacher in teachers if teacher.distributions_of is None] or teachers
    floor = _nearest(group.settings, [(other.settings, group_mean(other)) for other in untrained], exact=False)
    ceiling = _nearest(group.settings, [(teacher.settings, teacher.mean) for teacher in teachers], exact=asked)
    if floor is None or ceiling is None or ceiling <= floor:
        return None
    return (group_mean(group) - floor) / (ceiling - floor)


def _nearest(own: Settings, references: Sequence[tuple[Settings, float]], exact: bool) -> float | None:
    """The value of the reference whose settings differ least; None if there is none, or if several values fit.

    Settings in `MUST_AGREE` must be equal. `exact` requires all settings to be equal: a method is compared with exactly
    the teacher that it asked.
    """
    differing = [({key for key in settings if own.get(key) != settings[key]}, value) for settings, value in references]
    fitting = [(len(keys), value) for keys, value in differing if not MUST_AGREE & {key.split(".")[0] for key in keys}]
    closest = 0 if exact else min((distance for distance, _ in fitting), default=0)
    values = {value for distance, value in fitting if distance == closest}
    return values.pop() if len(values) == 1 else None
