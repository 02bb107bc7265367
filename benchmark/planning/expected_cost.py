"""Estimates what a cell buys before it is run: calls, tokens and US dollars of each round, from a rehearsal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from benchmark.cell.cell import Cell
from benchmark.cell.round_steps import planned_rounds
from benchmark.cell.sources import covered_pool
from benchmark.contract import ASSISTANT, STUDENT
from benchmark.planning.amounts import UNKNOWN, Estimate, ExpectedCost
from benchmark.planning.worst_case import WorstCases, annotation_context
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.teachers.ledger import Budget
from benchmark.teachers.replies import ANSWER_CLAUSE
from benchmark.teachers.teacher import Teacher, estimated_prompt_tokens, estimated_tokens, replies_written
from benchmark.types import Pick, Question, Reply, Request, Round, Usage

REHEARSED_QUESTIONS = 16
REHEARSED_ROUNDS = 5
"""Later rounds are taken to cost what the last of these costs."""


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


@dataclass(frozen=True)
class RoundCost:
    """What a round is expected to buy."""

    round: Round
    questions: int
    """The number of questions."""
    cost: ExpectedCost


def expected_cost(cell: Cell) -> ExpectedCost | None:
    """What the cell would be charged for its whole budget; None if it does not ask its teacher.

    The cost of testing the teacher itself (`evaluation.paid_teacher_accuracy`) is not included.
    """
    if not cell.asks_teacher:
        return None
    return sum((each.cost for each in expected_rounds(cell)), start=ExpectedCost())


def expected_rounds(cell: Cell) -> list[RoundCost]:
    """What each round would be charged. A cell that asks no teacher buys for nothing.

    The annotator runs on a sample of the pool, as it would in each round, with a `Rehearsal` as `ask`. If that fails
    (it asks the student, or cannot use invented replies), or if its requests exclude each other, the sample's largest
    worst case is the estimate, as an upper bound. So it is if nobody knows the rounds before the first.
    """
    splits = cell.dataset.load()
    pool = [row.without_gold() for row in covered_pool(cell, splits)]
    sample = spread(pool, REHEARSED_QUESTIONS)
    if not sample:
        return []
    rounds, known = _rounds(cell)
    rehearsed: dict[tuple[bool, int], _PerQuestion] = {}
    found, used, share = list[RoundCost](), dict[str, float](), 0.0
    for round_ in rounds:
        kind = (round_.warmup, min(round_.index, REHEARSED_ROUNDS - 1))
        if kind not in rehearsed:
            rehearsed[kind] = _per_question(cell, splits, sample, round_, known)
        each = rehearsed[kind]
        share += round_.share
        left = len(pool) - sum(earlier.questions for earlier in found)
        questions = admitted_questions(cell.budget, left, each.most, each.mean, used, share)
        used = {unit: used.get(unit, 0) + questions * amount for unit, amount in each.mean.items()}
        found.append(RoundCost(round_, questions, each.times(questions)))
    return found


def _rounds(cell: Cell) -> tuple[list[Round], bool]:
    """The rounds to come, and whether they are known; otherwise the first, and one that stands for all others."""
    rounds = planned_rounds(cell.method.schedule)
    if rounds is not None:
        return rounds, True
    first = cell.method.schedule.next_round(())
    if first is None or first.share >= 1:
        return [first or Round(0, 1.0)], False
    return [first, replace(first, index=1, share=1 - first.share, warmup=False)], False


@dataclass(frozen=True)
class _PerQuestion:
    """What one question costs in a round."""

    most: Mapping[str, float]
    """Unit -> amount of its worst case."""
    mean: Mapping[str, float]
    """Unit -> expected amount."""
    times: Callable[[int], ExpectedCost]
    """Number of questions -> what they cost."""


def _per_question(cell: Cell, splits: Splits, sample: Sequence[Question], round_: Round, known: bool) -> _PerQuestion:
    if not cell.asks_teacher:
        free = {"questions": 1, "calls": 0, "tokens": 0, "usd": 0.0}
        return _PerQuestion(free, free, lambda questions: ExpectedCost())
    worst = WorstCases(cell, splits, round_)
    most = _largest([worst.of(question) for question in sample])
    excluding = any(request.branch for question in sample for request in worst.planned(question))
    rehearsal = _rehearsed(cell, splits, sample, round_) if known and not excluding else None
    if rehearsal is None:
        return _PerQuestion(most, most, lambda questions: _at_most(questions, most))
    mean = _rehearsed_cost(cell, rehearsal, 1 / len(sample))
    expected = {unit: most[unit] if cost.unknown else cost.value for unit, cost in vars(mean).items()}
    return _PerQuestion(
        most, {"questions": 1, **expected}, lambda questions: _rehearsed_cost(cell, rehearsal, questions / len(sample))
    )


def _at_most(questions: int, most: Mapping[str, float]) -> ExpectedCost:
    return ExpectedCost(*(Estimate(questions * most[unit], at_most=True) for unit in ("calls", "tokens", "usd")))


def admitted_questions(
    budget: Budget,
    pool: int,
    most: Mapping[str, float],
    mean: Mapping[str, float],
    used: Mapping[str, float] | None = None,
    share: float = 1.0,
) -> int:
    """How many of `pool` questions a share of a budget buys, if each is bought only while its worst case still fits.

    `most` and `mean` are the worst and the mean cost of one question, `used` is what earlier rounds used of the same
    share: unit -> amount.
    """
    questions, used = pool, used or {}
    for unit in budget.limits:
        if mean[unit]:
            left = budget.part(unit, share) - used.get(unit, 0)
            questions = min(questions, int((left - most[unit]) / mean[unit] + 1 + 1e-9))
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


def spread(pool: Sequence[Question], count: int) -> list[Question]:
    """At most `count` questions, evenly spread over the pool; the same in every call."""
    count = min(count, len(pool))
    return [pool[i * len(pool) // count] for i in range(count)]


def rehearsal_for(cell: Cell, questions: Sequence[Question]) -> Rehearsal:
    """Invented teachers that reply as the dataset's first exemplar does."""
    choices = {question.id: question.choices[0] for question in questions if question.choices}
    for exemplar in cell.dataset.exemplars[:1]:
        return Rehearsal(exemplar.rationale, exemplar.answer, choices)
    return Rehearsal(choices=choices)


def _rehearsed(cell: Cell, splits: Splits, questions: Sequence[Question], round_: Round) -> Rehearsal | None:
    """The annotator's requests about the questions in a round; None if it cannot work with a rehearsal's replies."""
    if not cell.method.trains():
        return Rehearsal()
    rehearsal = rehearsal_for(cell, questions)
    context = annotation_context(cell, splits, round_)

    async def annotate() -> None:
        for question in questions:
            await cell.method.annotation.annotate(Pick(question), context, rehearsal)

    try:
        asyncio.run(annotate())
    except Exception:  # an annotator may fail in any way on invented replies
        return None
    return rehearsal
