"""Sets our results beside a published number: are they the same thing, and do they agree?"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from analysis.records.load import UNTRAINED_METHOD, FinishedCell, Records
from analysis.records.published import NOBODY, PublishedNumber
from analysis.records.published_schema import Paper
from analysis.statistics.grouping import Group, Score, group_scores
from analysis.statistics.intervals import MeanInterval, mean_with_t_interval

Verdict = Literal["reproduced", "differs", "other scale", "not run"]
SHARED_METRICS = {"accuracy": "%", "rouge_l": "points"}
"""The metrics that our records have too, with the unit in which papers give them: hundredths."""
MIN_SEEDS = 3
"""Fewer seeds have an interval so wide that it agrees with nearly everything."""
NOT_KNOWN = "not known"
"""Stands in the place of the paper's student, teacher, training questions or steps: never the same scale."""
SAME_COUNT = 0.01
"""Counts of questions and steps that lie closer, relatively, are the same: splits differ by a question or two."""


@dataclass(frozen=True)
class Match:
    """A published number, and one group of our cells that belongs beside it."""

    number: PublishedNumber
    verdict: Verdict
    group: Group | None = None
    """The cells; None if no record belongs there."""
    interval: MeanInterval | None = None
    """The mean of our seeds with its 95 % t-interval, in the unit of the number."""
    differences: tuple[str, ...] = ()
    """What is not the paper's scale: ours, and the paper's in brackets."""
    not_compared: tuple[str, ...] = ()
    """Questions per step or test questions, where the source does not give them."""


def is_comparable(number: PublishedNumber) -> bool:
    """Whether a record of ours could stand beside the number: its method, datasets and metric are here."""
    datasets = (number.dataset, number.trained_on)
    return (
        number.facts.method is not None
        and SHARED_METRICS.get(number.metric) == number.unit
        and all(dataset is not None and dataset.ours is not None for dataset in datasets)
    )


def matches_of(
    paper: Paper, numbers: Sequence[PublishedNumber], records: Records, stand_ins: Mapping[str, str]
) -> list[Match]:
    """Each number with each group of our cells that belongs beside it, in the order of the numbers.

    A group belongs beside the numbers of its method, datasets and metric; where its student is one of the paper's,
    beside that student's numbers alone. `stand_ins` names, by a dataset's key in the paper, a dataset of ours that
    stands for it; this is never the same scale. A number without a group is `not run`.
    """
    replaced = {paper.datasets[key].ours: ours for key, ours in stand_ins.items()}
    groups = _groups_by_place(records)
    found = []
    for number in numbers:
        beside = [
            _match(number, group)
            for place, group in groups
            if place in _places(number, replaced)
            and _is_same_method(number, paper.reproduce.setting, group.method)
            and not _is_of_another_row(number, paper, group)
        ]
        found += beside or [Match(number, "not run")]
    return found


Place = tuple[str, str, str]
"""Dataset trained on, dataset tested on, metric."""


def _groups_by_place(records: Records) -> list[tuple[Place, Group]]:
    scores: dict[tuple[Place, str], list[Score]] = defaultdict(list)
    for cell in sorted(records.complete, key=lambda cell: cell.names.cell_id):
        for test in cell.tests:
            place = (cell.names.dataset, test.dataset, test.metric)
            scores[place, cell.names.student].append(Score(cell, test))
    return [(place, group) for (place, _), members in sorted(scores.items()) for group in group_scores(members)]


def _places(number: PublishedNumber, replaced: Mapping[str | None, str]) -> set[Place]:
    """Where results that belong beside a number are found: at its own datasets, and at what stands for them."""
    if number.trained_on is None or number.dataset is None:
        return set()
    trained_on, tested_on = number.trained_on.ours, number.dataset.ours
    pairs = {(trained_on, tested_on), (replaced.get(trained_on, trained_on), replaced.get(tested_on, tested_on))}
    return {(one, other, number.metric) for one, other in pairs if one is not None and other is not None}


def _is_same_method(number: PublishedNumber, setting: Sequence[str], label: str) -> bool:
    """Whether a record's method is the number's; choices of the paper's `setting` may stand in the label or not."""
    wanted, *changes = (number.facts.method or "").split("+")
    preset, *choices = label.split("+")
    return preset == wanted and set(changes) <= set(choices) <= {*changes, *setting}


def _is_of_another_row(number: PublishedNumber, paper: Paper, group: Group) -> bool:
    """Whether the group's student is one of the paper's, and not the one of this number."""
    ours = group.scores[0].cell.names.student
    of_number = number.student.ours if number.student else ()
    return ours not in of_number and any(ours in student.ours for student in paper.students.values())


def _match(number: PublishedNumber, group: Group) -> Match:
    interval = mean_with_t_interval([100 * score.test.value for score in group.scores])
    facts = list(_facts(number, group))
    differences = tuple(fact.text for fact in facts if fact.decides and not fact.is_same)
    if not differences and len(group.scores) < MIN_SEEDS:
        differences = (f"{in_words(len(group.scores), 'seed')} (a verdict needs {MIN_SEEDS})",)
    verdict: Verdict = "other scale" if differences else "reproduced" if agrees(number, interval) else "differs"
    unknown = tuple(fact.what for fact in facts if not fact.decides)
    return Match(number, verdict, group, interval, differences, unknown)


def in_words(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def agrees(number: PublishedNumber, interval: MeanInterval) -> bool:
    """Whether our mean and a published value at one scale are the same as far as both tell; in the number's unit.

    Either the value lies in our 95 % t-interval over seeds, or our mean lies where the mean of `n` further runs of the
    paper would lie in 95 of 100 cases: `value ± t(k - 1) s sqrt(1/k + 1/n)`, for a published standard deviation `s`
    over `k` training runs (the prediction interval of a mean of normal values). Deviations over texts of one student
    are not used. A value read off a figure may also be wrong by its tolerance.
    """
    distance = abs(number.value - interval.mean)
    tolerance = number.facts.tolerance or 0.0
    return distance <= max(interval.half_width or 0.0, _spread_of_means(number, interval.num_values)) + tolerance


def _spread_of_means(number: PublishedNumber, num_ours: int) -> float:
    """Half the width of the interval for the mean of `num_ours` further runs of the paper; 0 where it is not known."""
    runs, deviation = number.facts.runs, number.deviation
    if runs is None or runs < 2 or deviation is None or number.facts.runs_over != "training":
        return 0.0
    return float(stats.t.ppf(0.975, df=runs - 1)) * deviation * math.sqrt(1 / runs + 1 / num_ours)


# --- the scale -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fact:
    """One thing of which a scale is made."""

    what: str
    """Its name."""
    decides: bool
    """Whether it must be the same; False where the source does not give it and it is only named."""
    is_same: bool
    """Whether ours is the paper's."""
    text: str
    """Ours, and the paper's in brackets."""


def _facts(number: PublishedNumber, group: Group) -> Iterator[_Fact]:
    score = group.scores[0]
    cell = score.cell
    yield from _data_sets(number, score)
    yield _student(number, cell)
    yield _count("test questions", score.test.n, number.dataset.test if number.dataset else None)
    if cell.names.method.partition("+")[0] == UNTRAINED_METHOD:
        return
    yield _teacher(number, cell)
    yield _count("training questions", _annotated(cell), number.train_examples, needed=True)
    yield _length_of_training(number, cell)
    yield _count("questions per step", _batch_size(cell), number.facts.batch_size)


def _data_sets(number: PublishedNumber, score: Score) -> Iterator[_Fact]:
    """A dataset that stands for the paper's is a difference; equal ones are not worth a word."""
    for published, ours in ((number.trained_on, score.cell.names.dataset), (number.dataset, score.test.dataset)):
        if published is not None and published.ours != ours:
            yield _Fact("dataset", True, False, f"dataset {ours} ({published.name})")
            return


def _student(number: PublishedNumber, cell: FinishedCell) -> _Fact:
    ours, theirs = cell.names.student, number.student
    if theirs is None:
        return _Fact("student", True, False, f"student {ours} ({NOT_KNOWN})")
    size = f", {theirs.parameters}" if theirs.parameters else ""
    return _Fact("student", True, ours in theirs.ours, f"student {ours} ({theirs.name}{size})")


def _teacher(number: PublishedNumber, cell: FinishedCell) -> _Fact:
    theirs, model = number.teacher, _setting(cell, "teacher.model")
    ours = _setting(cell, "distribution_teacher.name") or cell.names.teacher
    shown = f"teacher {ours or 'none'}{f', {model}' if model else ''}"
    if theirs is None:
        return _Fact("teacher", True, False, f"{shown} ({NOT_KNOWN})")
    if theirs is NOBODY:
        return _Fact("teacher", True, ours is None, f"{shown} (none)")
    same_model = theirs.model is None or theirs.model in re.sub(r"[^a-z0-9]", "", str(model).lower())
    return _Fact("teacher", True, ours in theirs.ours and same_model, f"{shown} ({theirs.name})")


def _length_of_training(number: PublishedNumber, cell: FinishedCell) -> _Fact:
    """The steps, or else the passes over the training questions."""
    steps = cell.train.optimiser_steps if cell.train.final_student_steps is None else cell.train.final_student_steps
    if number.facts.steps is not None or number.facts.epochs is None:
        return _count("steps", steps, number.facts.steps, needed=True)
    batch_size, examples = _batch_size(cell), _annotated(cell)
    passes = steps * batch_size / examples if batch_size and examples else None
    return _count("passes over the training questions", passes, number.facts.epochs)


def _count(what: str, ours: float | None, theirs: float | None, needed: bool = False) -> _Fact:
    """A count; one that is needed makes another scale where the source does not give it."""
    shown = "an unknown number of" if ours is None else f"{ours:,.4g}" if ours != round(ours) else f"{ours:,.0f}"
    if theirs is None:
        return _Fact(what, needed, False, f"{shown} {what} ({NOT_KNOWN})")
    is_same = ours is not None and abs(ours - theirs) <= SAME_COUNT * theirs
    return _Fact(what, True, is_same, f"{shown} {what} ({theirs:,g})")


def _annotated(cell: FinishedCell) -> int | None:
    bought = cell.rounds[-1].annotated if cell.rounds else None
    return cell.budget.questions if bought is None else bought


def _batch_size(cell: FinishedCell) -> int | None:
    value = cell.settings.get("optimization.batch_size")
    return None if value is None else int(json.loads(value))


def _setting(cell: FinishedCell, key: str) -> str | None:
    """A setting that is text; None where the cell has none."""
    value = json.loads(cell.settings.get(key, "null"))
    return None if value is None else str(value)
