"""What a cell would cost before it is run: teacher calls and tokens from a rehearsal, time from finished cells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmark.cell.cell import Cell
from benchmark.cell.identity import identity
from benchmark.cell.sources import covered_pool, student_download
from benchmark.contract import ASSISTANT, STUDENT, Schedule
from benchmark.planning.worst_case import WorstCases, annotation_context
from benchmark.records.catalog import complete_records
from benchmark.records.schema import CompleteRecord
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.teachers.ledger import Budget
from benchmark.teachers.replies import ANSWER_CLAUSE
from benchmark.teachers.teacher import (
    Teacher,
    estimated_prompt_tokens,
    estimated_tokens,
    replies_written,
)
from benchmark.types import Pick, Question, Reply, Request, RoundLog, Usage

REHEARSED_QUESTIONS = 16
MOST_ROUNDS = 1000
"""A schedule that plans more has no end that can be foreseen."""


@dataclass(frozen=True)
class Estimate:
    """A sum of expected amounts. Some of it may be an upper bound, and some unknown and so not in `value`."""

    value: float = 0.0
    at_most: bool = False
    unknown: bool = False

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.value + other.value, self.at_most or other.at_most, self.unknown or other.unknown)


UNKNOWN = Estimate(unknown=True)


@dataclass(frozen=True)
class ExpectedCost:
    """What a cell is expected to buy from its teacher; `tokens` are those of prompts and replies."""

    calls: Estimate = Estimate()
    tokens: Estimate = Estimate()
    usd: Estimate = Estimate()

    def __add__(self, other: ExpectedCost) -> ExpectedCost:
        return ExpectedCost(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)


# --- what the teacher is asked ----------------------------------------------------------------------------------------


@dataclass
class Rehearsal:
    """Stands in for the teachers: keeps every distinct request with its samples, and answers as an exemplar does.

    Where the question has choices, the answer is its first one: an exemplar's would be none of them.
    """

    rationale: str = ""
    answer: str = "0"
    choices: Mapping[str, str] = field(default_factory=dict)
    asked: dict[tuple[str, Request], int] = field(default_factory=dict)

    async def __call__(self, who: str, ask: Request, samples: int = 1) -> list[Reply]:
        """`samples` times the same. Raises LookupError for the student and the assistant, who are not here."""
        if who in (STUDENT, ASSISTANT):
            raise LookupError(f"there is no {who} in a rehearsal")
        self.asked[who, ask] = max(samples, self.asked.get((who, ask), 0))
        answer = self.choices.get(ask.question_id, self.answer)
        return [Reply(f"{self.rationale} {ANSWER_CLAUSE} {answer}.")] * samples

    def calls(self, teacher: str | None = None) -> int:
        """How many calls the ledger would hold, of one teacher or all: a repeated request is charged once."""
        return sum(samples for (who, _), samples in self.asked.items() if teacher in (None, who))

    def prompt_tokens(self, teacher: str) -> int:
        """Estimated tokens of the prompts of all calls to one teacher."""
        return sum(n * estimated_prompt_tokens(request) for (who, request), n in self.asked.items() if who == teacher)

    def replies(self, teacher: str) -> int:
        """How many replies one teacher would be charged for."""
        return sum(n * replies_written(request) for (who, request), n in self.asked.items() if who == teacher)


def expected_cost(cell: Cell) -> ExpectedCost | None:
    """What the cell would be charged for its whole budget; None where its teacher is not asked.

    The annotation is rehearsed on a sample of the pool. Where that is not possible (it turns to the student, or cannot
    cope with made-up replies), the largest worst case of the sample stands as an upper bound. What it takes to measure
    the teacher itself on the test questions is in no ledger, and not in here.
    """
    if not cell.asks_teacher:
        return None
    splits = cell.dataset.load()
    pool = [row.without_gold() for row in covered_pool(cell, splits)]
    if not pool:
        return ExpectedCost()
    sample, worst = _spread(pool, REHEARSED_QUESTIONS), WorstCases(cell, splits)
    most = _largest([worst.of(question) for question in sample])
    rehearsal = _rehearsed(cell, splits, sample)
    if rehearsal is None:
        questions = admitted_questions(cell.budget, len(pool), most, most)
        return ExpectedCost(*(Estimate(questions * most[unit], at_most=True) for unit in ("calls", "tokens", "usd")))
    mean = _rehearsed_cost(cell, rehearsal, 1 / len(sample))
    expected = {unit: most[unit] if cost.unknown else cost.value for unit, cost in vars(mean).items()}
    questions = admitted_questions(cell.budget, len(pool), most, {"questions": 1, **expected})
    return _rehearsed_cost(cell, rehearsal, questions / len(sample))


def admitted_questions(budget: Budget, pool: int, most: Mapping[str, float], mean: Mapping[str, float]) -> int:
    """How many questions of the pool are bought: each is admitted only while its worst case still fits.

    `most` and `mean` say by unit what one question costs.
    """
    questions = pool
    for unit, limit in budget.limits.items():
        if mean[unit]:
            questions = min(questions, int((limit - most[unit]) / mean[unit] + 1 + 1e-9))
    return max(questions, 0)


def _largest(costs: Sequence[Usage]) -> dict[str, float]:
    return {unit: max(getattr(cost, unit) for cost in costs) for unit in ("questions", "calls", "tokens", "usd")}


def _rehearsed_cost(cell: Cell, rehearsal: Rehearsal, times: float) -> ExpectedCost:
    """What was rehearsed, so many times."""
    of_teachers = (
        _cost(
            cell,
            teacher,
            times * rehearsal.calls(name),
            times * rehearsal.prompt_tokens(name),
            times * rehearsal.replies(name),
        )
        for name, teacher in cell.teachers.items()
    )
    return sum(of_teachers, start=ExpectedCost())


def _cost(cell: Cell, teacher: Teacher, calls: float, prompt_tokens: float, replies: float) -> ExpectedCost:
    per_reply = completion_tokens_per_reply(cell.dataset)
    if per_reply is None:
        return ExpectedCost(Estimate(calls), UNKNOWN, _free_or_unknown(cell))
    prompt, completion = round(prompt_tokens), round(replies * per_reply)
    usage = teacher.price.of(Reply("", prompt_tokens=prompt, completion_tokens=completion))
    return ExpectedCost(Estimate(calls), Estimate(prompt + completion), Estimate(usage.usd))


def _free_or_unknown(cell: Cell) -> Estimate:
    """What tokens that nobody can count will cost: nothing from a teacher that is free."""
    return Estimate() if all(teacher.price.is_free for teacher in cell.teachers.values()) else UNKNOWN


def completion_tokens_per_reply(dataset: Dataset) -> float | None:
    """The mean length of the dataset's exemplars, rationale and answer; None where it has no exemplar.

    Few-shot prompts show the exemplars, and models answer about as long as what they are shown.
    """
    texts = _exemplar_replies(dataset)
    return fmean(estimated_tokens(text) for text in texts) if texts else None


def _exemplar_replies(dataset: Dataset) -> list[str]:
    return [f"{exemplar.rationale} {ANSWER_CLAUSE} {exemplar.answer}." for exemplar in dataset.exemplars]


def _spread(pool: Sequence[Question], count: int) -> list[Question]:
    """At most `count` questions, evenly spread over the pool: always the same ones."""
    count = min(count, len(pool))
    return [pool[i * len(pool) // count] for i in range(count)]


def _rehearsed(cell: Cell, splits: Splits, questions: Sequence[Question]) -> Rehearsal | None:
    """What the annotation asks about the questions; None where it cannot be told without teacher and student."""
    if not cell.method.trains():
        return Rehearsal()
    choices = {question.id: question.choices[0] for question in questions if question.choices}
    rehearsal = Rehearsal(choices=choices)
    for exemplar in cell.dataset.exemplars[:1]:
        rehearsal = Rehearsal(exemplar.rationale, exemplar.answer, choices)
    context = annotation_context(cell, splits)

    async def annotate() -> None:
        for question in questions:
            await cell.method.annotation.annotate(Pick(question), context, rehearsal)

    try:
        asyncio.run(annotate())
    except Exception:  # whatever a part does about replies that nobody gave
        return None
    return rehearsal


# --- how long it takes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """What the record of a finished cell says of its time."""

    method: str
    identity: Mapping[str, Any]
    seconds: float
    steps: int
    training_seconds: float
    seconds_per_answer: float

    @property
    def seconds_per_trained_example(self) -> float:
        """Training time per optimiser step and group of its batch."""
        return self.training_seconds / (self.steps * int(self.identity["optimization"]["batch_size"]))


def timings(results: Path) -> list[Timing]:
    """The times of all complete records in a results folder; a record that tells no time is left out."""
    return [timing for record in complete_records(results) if (timing := _timing(record)) is not None]


def _timing(record: CompleteRecord) -> Timing | None:
    seconds, seconds_per_answer = record.seconds, record.test[0].seconds_per_answer
    if seconds is None or seconds_per_answer is None:
        return None
    train = record.train
    steps, training_seconds = train.optimiser_steps, train.seconds
    return Timing(record.method, record.identity, seconds, steps, training_seconds, seconds_per_answer)


def expected_seconds(cell: Cell, known: Sequence[Timing]) -> Estimate:
    """How long the cell would take, judged by finished ones of the same student; unknown where there is none.

    The median of the cells that did the same work (method, dataset, evaluation, steps, batch size, precision) with any
    seed or budget. Without one, the student's median pace is scaled: training time per example seen, times batch size,
    steps and rounds, plus time per test answer, times test answers (samples too) and validation questions. A live
    teacher's own time is not in the second.
    """
    if student_download(cell) is not None:
        return UNKNOWN  # without its commit there is no identity to compare
    who = identity(cell)
    same = [each for each in known if each.method == cell.method.name and _work(each.identity) == _work(who)]
    if same:
        return Estimate(median(each.seconds for each in same))
    return _scaled(cell, [each for each in known if _student(each.identity) == _student(who)])


def _work(who: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides how much there is to do, of an identity."""
    optimization = who.get("optimization") or {}
    sizes = (optimization.get("max_steps"), optimization.get("batch_size"))
    return (*_student(who), who.get("dataset"), who.get("evaluation"), *sizes)


def _student(who: Mapping[str, Any]) -> tuple[Any, Any]:
    """The student of an identity and the precision that it works at."""
    return who.get("student"), who.get("precision") or (who.get("optimization") or {}).get("precision")


def _scaled(cell: Cell, known: Sequence[Timing]) -> Estimate:
    """Training and evaluation at the pace of other cells of the student; those that trained judge one that trains."""
    rounds = _planned_rounds(cell.method.schedule)
    judges = [each for each in known if each.steps] if rounds else known
    if rounds is None or not judges:
        return UNKNOWN
    splits = cell.dataset.load()
    validation = len(splits.validation[: cell.evaluation.validation_size])
    tests = [splits.test, *(extra.load().test for extra in cell.extra_datasets)]
    answers = sum(map(len, tests)) + len(splits.test) * cell.evaluation.samples + rounds * validation
    seconds = answers * median(each.seconds_per_answer for each in judges)
    if rounds:
        examples = rounds * cell.optimization.max_steps * cell.optimization.batch_size
        seconds += examples * median(each.seconds_per_trained_example for each in judges)
    return Estimate(seconds)


def _planned_rounds(schedule: Schedule) -> int | None:
    """The rounds of a student that never suffices; None for a schedule that cannot tell without real ones."""
    history: list[RoundLog] = []
    try:
        while (round_ := schedule.next_round(tuple(history))) is not None:
            if len(history) == MOST_ROUNDS:
                return None
            history.append(RoundLog(round_, 0, {}, {}, {}, {"accuracy": 0.0}, {}))
    except Exception:  # it read of a round what only a real one leaves behind
        return None
    return len(history)
