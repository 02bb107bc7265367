"""Estimates a cell's cost before it is run: calls and tokens from a rehearsal, time from finished cells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmark.cell.cell import Cell
from benchmark.cell.identity import identity, precision_in
from benchmark.cell.round_steps import planned_steps
from benchmark.cell.sources import covered_pool, student_download
from benchmark.contract import ASSISTANT, STUDENT
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
from benchmark.types import Pick, Question, Reply, Request, Usage

REHEARSED_QUESTIONS = 16


@dataclass(frozen=True)
class Estimate:
    """A sum of expected amounts."""

    value: float = 0.0
    at_most: bool = False
    """True if a summand is an upper bound."""
    unknown: bool = False
    """True if a summand is unknown, and so missing from `value`."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.value + other.value, self.at_most or other.at_most, self.unknown or other.unknown)


UNKNOWN = Estimate(unknown=True)


@dataclass(frozen=True)
class ExpectedCost:
    """What a cell is expected to buy from its teachers; `tokens` counts prompts and replies together."""

    calls: Estimate = Estimate()
    tokens: Estimate = Estimate()
    usd: Estimate = Estimate()

    def __add__(self, other: ExpectedCost) -> ExpectedCost:
        return ExpectedCost(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)


# --- costs ------------------------------------------------------------------------------------------------------------


@dataclass
class Rehearsal:
    """The `ask` function in place of real teachers: it records requests and replies with an exemplar's text."""

    rationale: str = ""
    """The rationale of every reply."""
    answer: str = "0"
    """The answer of every reply to a question without choices."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Question id -> answer, for questions with choices: their first one."""
    asked: dict[tuple[str, Request], int] = field(default_factory=dict)
    """(teacher's name, request) -> the most samples that were asked for."""

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        """Returns `samples` equal replies. Raises LookupError for the student and the assistant."""
        if who in (STUDENT, ASSISTANT):
            raise LookupError(f"there is no {who} in a rehearsal")
        self.asked[who, request] = max(samples, self.asked.get((who, request), 0))
        answer = self.choices.get(request.question_id, self.answer)
        return [Reply(f"{self.rationale} {ANSWER_CLAUSE} {answer}.")] * samples

    def calls(self, teacher: str | None = None) -> int:
        """Number of calls that would be charged, of one teacher or of all; a repeated request counts once."""
        return sum(samples for (who, _), samples in self.asked.items() if teacher in (None, who))

    def prompt_tokens(self, teacher: str) -> int:
        """Estimated prompt tokens of all calls to one teacher."""
        return sum(n * estimated_prompt_tokens(request) for (who, request), n in self.asked.items() if who == teacher)

    def replies(self, teacher: str) -> int:
        """Number of replies that one teacher would be paid for; see `replies_written`."""
        return sum(n * replies_written(request) for (who, request), n in self.asked.items() if who == teacher)


def expected_cost(cell: Cell) -> ExpectedCost | None:
    """What the cell would be charged for its whole budget; None if it does not ask its teacher.

    The annotator runs on a sample of the pool with a `Rehearsal` as `ask`. If that fails (the annotator asks the
    student, or cannot use invented replies), the sample's largest worst case is the estimate, as an upper bound. The
    cost of testing the teacher itself (`evaluation.paid_teacher_accuracy`) is not included.
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
    """How many of `pool` questions a budget buys, if each is bought only while its worst case still fits.

    `most` and `mean` are the worst and the mean cost of one question: unit -> amount.
    """
    questions = pool
    for unit, limit in budget.limits.items():
        if mean[unit]:
            questions = min(questions, int((limit - most[unit]) / mean[unit] + 1 + 1e-9))
    return max(questions, 0)


def _largest(costs: Sequence[Usage]) -> dict[str, float]:
    return {unit: max(getattr(cost, unit) for cost in costs) for unit in ("questions", "calls", "tokens", "usd")}


def _rehearsed_cost(cell: Cell, rehearsal: Rehearsal, times: float) -> ExpectedCost:
    """The cost of all rehearsed requests, multiplied by `times`."""
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
    """The cost of an unknown number of tokens: 0 if all teachers are free, else unknown."""
    return Estimate() if all(teacher.price.is_free for teacher in cell.teachers.values()) else UNKNOWN


def completion_tokens_per_reply(dataset: Dataset) -> float | None:
    """Estimated mean tokens of the dataset's exemplars, rationale and answer; None if it has no exemplar.

    A model's replies are about as long as the exemplars that few-shot prompts show.
    """
    texts = _exemplar_replies(dataset)
    return fmean(estimated_tokens(text) for text in texts) if texts else None


def _exemplar_replies(dataset: Dataset) -> list[str]:
    return [f"{exemplar.rationale} {ANSWER_CLAUSE} {exemplar.answer}." for exemplar in dataset.exemplars]


def _spread(pool: Sequence[Question], count: int) -> list[Question]:
    """At most `count` questions, evenly spread over the pool; the same in every call."""
    count = min(count, len(pool))
    return [pool[i * len(pool) // count] for i in range(count)]


def _rehearsed(cell: Cell, splits: Splits, questions: Sequence[Question]) -> Rehearsal | None:
    """The annotator's requests about the questions; None if it cannot work with a rehearsal's replies."""
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
    except Exception:  # an annotator may fail in any way on invented replies
        return None
    return rehearsal


# --- times ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """The times in the record of a finished cell."""

    method: str
    identity: Mapping[str, Any]
    """What `benchmark.cell.identity.identity` returned for the cell."""
    seconds: float
    """Wall-clock time of the whole cell."""
    steps: int
    """Optimiser steps."""
    training_seconds: float
    """Time of these steps."""
    seconds_per_answer: float
    """Seconds per test answer."""

    @property
    def seconds_per_trained_example(self) -> float:
        """Training seconds per example: per optimiser step and group of its batch."""
        return self.training_seconds / (self.steps * int(self.identity["optimization"]["batch_size"]))


def timings(results: Path) -> list[Timing]:
    """The times of all complete records in a results folder; records without times are left out."""
    return [timing for record in complete_records(results) if (timing := _timing(record)) is not None]


def _timing(record: CompleteRecord) -> Timing | None:
    seconds, seconds_per_answer = record.seconds, record.test[0].seconds_per_answer
    if seconds is None or seconds_per_answer is None:
        return None
    train = record.train
    steps, training_seconds = train.optimiser_steps, train.seconds
    return Timing(record.method, record.identity, seconds, steps, training_seconds, seconds_per_answer)


def expected_seconds(cell: Cell, known: Sequence[Timing]) -> Estimate:
    """Seconds that the cell would take, from finished cells of the same student; unknown if there is none.

    The estimate is the median over cells with the same work (method, dataset, evaluation, steps, batch size,
    precision), with any seed or budget. Without such a cell, median times of the student's other cells are scaled:
    training time per example x batch size x steps of all rounds, plus time per test answer x (test answers, samples
    included, and validation questions). The scaled estimate leaves out the time of a live teacher.
    """
    if student_download(cell) is not None:
        return UNKNOWN  # a student that is not downloaded has no identity to compare
    who = identity(cell)
    same = [each for each in known if each.method == cell.method.name and _work(each.identity) == _work(who)]
    if same:
        return Estimate(median(each.seconds for each in same))
    return _scaled(cell, [each for each in known if _student(each.identity) == _student(who)])


def _work(who: Mapping[str, Any]) -> tuple[Any, ...]:
    """The entries of an identity that decide how much work the cell is."""
    optimization = who.get("optimization") or {}
    sizes = (optimization.get("max_steps"), optimization.get("batch_size"))
    return (*_student(who), who.get("dataset"), who.get("evaluation"), *sizes)


def _student(who: Mapping[str, Any]) -> tuple[Any, Any]:
    """The student and the precision in an identity."""
    return who.get("student"), precision_in(who)


def _scaled(cell: Cell, known: Sequence[Timing]) -> Estimate:
    """Seconds of training and evaluation, scaled from other cells of the student; `expected_seconds` says how."""
    steps = planned_steps(cell.method.schedule, cell.optimization.max_steps)
    judges = [each for each in known if each.steps] if steps is None or steps.total else known
    if steps is None or not judges:
        return UNKNOWN
    splits = cell.dataset.load()
    validation = len(splits.validation[: cell.evaluation.validation_size])
    tests = [splits.test, *(extra.load().test for extra in cell.extra_datasets)]
    answers = sum(map(len, tests)) + len(splits.test) * cell.evaluation.samples
    answers += len(steps.of_rounds) * validation
    seconds = answers * median(each.seconds_per_answer for each in judges)
    if steps.total:
        examples = steps.total * cell.optimization.batch_size
        seconds += examples * median(each.seconds_per_trained_example for each in judges)
    return Estimate(seconds)
