"""Runs the command `judge`: reads two cells, asks the judge, writes the judgements and prints their table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from benchmark.buying.meter import TEACHER, Meter, worst_case
from benchmark.console.markdown_table import number, usd
from benchmark.console.progress import Bars, Display
from benchmark.judging.arguments import read_arguments
from benchmark.judging.asking import Desk, judge_all
from benchmark.judging.cells import Pair
from benchmark.judging.comparisons import Comparison, comparisons
from benchmark.judging.judge_teacher import composed_teacher, model_of, models_learnt_from, opened_meter
from benchmark.judging.judgement_file import place_of, read_judgements, write_judgements
from benchmark.judging.report import cost_line, report
from benchmark.records.catalog import refuse_unwritable
from benchmark.teachers.teacher import OpenTeacher, Teacher
from benchmark.types import PlannedRequest, Usage

STORE = "teacher_store.sqlite"


def judge_finished(
    arguments: Sequence[str], display: Display | None = None, tell: Callable[[str], object] | None = None
) -> int:
    """Compares the explanations of two finished cells, and returns the exit status 0.

    Args:
        arguments: two folders of cells and settings, as `arguments.HOW` shows them.
        display: shows progress and notes; the default shows bars.
        tell: receives the table; the default prints it.

    Raises:
        ConfigError: for wrong arguments, cells that cannot be compared, or a teacher that cannot judge; before any
            request is sent.
        TeacherError: a live teacher does not answer. Replies so far are kept in the store.
    """
    wanted = read_arguments(arguments)
    pair = Pair.of(wanted.first, wanted.second, wanted.questions)
    teacher = composed_teacher(wanted.teacher)
    opened = teacher.open(pair.first.dataset)
    asked = list(comparisons(pair, wanted.constructs))
    place = place_of(pair, teacher, asked)
    shown = display or Bars()
    if wanted.questions is not None and len(pair.questions) < wanted.questions:
        shown.say(
            f"questions={wanted.questions}: both cells have explained {len(pair.questions)} in common, and no more"
        )
    if pair.explained_once:
        shown.say(f"questions explained in one of both cells alone, which are left out: {pair.explained_once}")
    caution = _self_preference(pair, teacher)
    if caution is not None:
        shown.say(caution)
    refuse_unwritable(pair.first.folder.parent)
    place.parent.mkdir(exist_ok=True)
    locks = pair.first.folder.parent / ".locks"
    locks.mkdir(exist_ok=True)
    with FileLock(locks / f"{place.stem}.lock"):
        if place.exists():
            shown.say(f"{place} is there already, and stays as it is; nothing is asked")
        else:
            store = wanted.store_path or pair.first.folder.parent / STORE
            _judge(asked, pair, opened, teacher, store, place, shown)
    (tell or sys.stdout.write)(report(pair, read_judgements(place), caution))
    return 0


def _judge(
    asked: Sequence[Comparison],
    pair: Pair,
    opened: OpenTeacher,
    teacher: Teacher,
    store: Path,
    place: Path,
    display: Display,
) -> None:
    dataset = pair.first.dataset
    with opened_meter(opened, teacher, dataset, store, display.say) as meter:
        display.say(_announcement(asked, pair, teacher, meter))
        try:
            found = judge_all(asked, dataset, Desk(teacher.name, meter, display))
        finally:
            meter.settle()
            charged, spent = (book.get(TEACHER, Usage()) for book in (meter.ledger.charged, meter.ledger.spent))
            display.say(cost_line(teacher.name, charged, spent, meter.is_estimated))
    write_judgements(place, found, pair, teacher.name, model_of(teacher, dataset))
    display.say(f"{len(found)} judgements -> {place}")


def _announcement(asked: Sequence[Comparison], pair: Pair, teacher: Teacher, meter: Meter) -> str:
    """How many requests there will be, and what they can cost at most."""
    sent = [each for each in asked if not each.shared.is_identical]
    line = (
        f"{number(len(sent))} requests to teacher={teacher.name}, and at most {number(2 * len(sent))} if every reply "
        "must be asked for once more"
    )
    if not teacher.capabilities.caps_replies:
        return f"{line}; nobody can say what they cost at most, since nothing caps the replies"
    requests = [each.request(pair.first.dataset, again=again) for again in (False, True) for each in sent]
    most = worst_case([PlannedRequest(teacher.name, each) for each in requests], meter.suppliers, 0)
    cost = f"{number(most.tokens)} tokens and {usd(most.usd)} USD"
    return f"{line}: {cost} at the very most; what the store holds costs nothing"


def _self_preference(pair: Pair, teacher: Teacher) -> str | None:
    """A warning where a cell learnt from the model that judges; None otherwise."""
    model = model_of(teacher, pair.first.dataset)
    taught = [cell.record.cell_id for cell in (pair.first, pair.second) if model in models_learnt_from(cell.record)]
    if not taught:
        return None
    cells = "cell" if len(taught) == 1 else "cells"
    return (
        f"teacher={teacher.name} judges, and {cells} {' and '.join(taught)} learnt from the same model, {model}: a "
        "model may prefer what resembles its own words"
    )
