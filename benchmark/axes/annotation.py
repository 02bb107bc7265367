"""Annotators that several methods share: chains of thought, rationales for a given answer, human labels, and both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from benchmark.contract import Annotator, AskModels, Context, PlanContext, Requirements, Task
from benchmark.teachers.replies import (
    CONTENT_FILTER,
    NEXT_EXEMPLAR,
    UNREADABLE,
    is_trace_alone,
    own_words,
    rationale_with_trace,
    split_answer,
)
from benchmark.types import Annotation, Exchange, Pick, PlannedRequest, Question, Request

FINAL_WITHOUT_ANSWER = frozenset({CONTENT_FILTER, "not_asked", UNREADABLE})
"""Values of `Reply.finish` after which asking again brings the same reply."""

Strictness = Literal["strict", "flexible"]
"""How a teacher's answer is read: `strict` reads the clause that states it, `flexible` also searches the whole text."""


def _refuse_impossible(samples: int, temperature: float) -> None:
    if samples < 1 or temperature < 0:
        raise ValueError(f"samples={samples} must be at least 1, temperature={temperature} at least 0")


@dataclass(frozen=True)
class FewShotCot:
    """The teacher reasons after a few worked examples and states its own answer (Wei et al., 2022).

    Above temperature 0, a sample whose answer cannot be read is asked for again, once.
    """

    samples: int = 1
    temperature: float = 0.0
    reading: Strictness = "strict"
    """`flexible`: where the strict reading finds no answer, the task's flexible reading of the whole reply decides."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    def __post_init__(self) -> None:
        _refuse_impossible(self.samples, self.temperature)
        if self.reading not in get_args(Strictness):
            raise ValueError(f"reading={self.reading!r} must be strict or flexible")

    def requires(self) -> Requirements:
        """A teacher that takes the few-shot prompt."""
        return Requirements(teacher_roles=frozenset({"few_shot_cot"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request; above temperature 0 with two replies per sample, because each may be asked for again."""
        tries = 2 if self.temperature > 0 else 1
        return [PlannedRequest(context.teachers[0], self._request(question, context), tries * self.samples)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale` annotation per sample; `answer` is None if the task can read no answer in the reply.

        A sample that was asked for again keeps both replies, and its evidence has `asked_again`. Where only the
        flexible reading found the answer, it has `read_flexibly`.
        """
        teacher, request = context.teachers[0], self._request(pick.question, context)
        heard = [[Exchange(teacher, request, reply)] for reply in await ask(teacher, request, self.samples)]
        again = [exchanges for exchanges in heard if self._asks_again(exchanges[0], pick.question, context.task)]
        if again:
            more = await ask(teacher, request, self.samples + len(again))
            for exchanges, reply in zip(again, more[self.samples :], strict=True):
                exchanges.append(Exchange(teacher, request, reply))
            context.note(asked_again=len(again))
        rows = [self._annotation(pick, sample, context.task, exchanges) for sample, exchanges in enumerate(heard)]
        flexibly = sum("read_flexibly" in row.evidence for row in rows)
        if flexibly:
            context.note(read_flexibly=flexibly)
        return rows

    def _request(self, question: Question, context: PlanContext) -> Request:
        request = context.prompt("few_shot_cot", question, temperature=self.temperature)
        return replace(request, stop=(NEXT_EXEMPLAR,))

    def _asks_again(self, exchange: Exchange, question: Question, task: Task) -> bool:
        """Whether another reply may help: not at temperature 0, where the same request brings the same reply."""
        unread = self._read(exchange, question, task).answer is None
        return unread and self.temperature > 0 and exchange.reply.finish not in FINAL_WITHOUT_ANSWER

    def _read(self, exchange: Exchange, question: Question, task: Task) -> _Read:
        text = own_words(exchange.reply, exchange.request)
        said, stated = split_answer(text)
        rationale = rationale_with_trace(exchange.reply, said)
        answer = None if stated is None else task.parse(question, stated)
        if answer is not None or self.reading == "strict" or is_trace_alone(exchange.reply):
            return _Read(rationale, answer)  # a trace holds many numbers before its answer
        return _Read(rationale, task.parse_flexibly(question, text), flexibly=True)

    def _annotation(self, pick: Pick, sample: int, task: Task, exchanges: Sequence[Exchange]) -> Annotation:
        """The annotation from the last reply of one sample."""
        last = exchanges[-1]
        read = self._read(last, pick.question, task)
        return Annotation(
            question=pick.question,
            kind="rationale",
            source=last.source,
            rationale=read.rationale,
            answer=read.answer,
            sample=sample,
            evidence={
                **pick.evidence,
                "confidence": last.reply.confidence,
                "finish": last.reply.finish,
                **({"asked_again": True} if len(exchanges) > 1 else {}),
                **({"read_flexibly": True} if read.flexibly and read.answer is not None else {}),
            },
            exchanges=tuple(exchanges),
        )


@dataclass(frozen=True)
class _Read:
    """What was read in a reply."""

    rationale: str | None
    answer: str | None
    flexibly: bool = False


@dataclass(frozen=True)
class SelfConsistentCot:
    """Several chains of thought, and the answer that most of them reach (self-consistency; Wang et al., 2023).

    The first chain with the most frequent answer has the kind `rationale`. All other chains have the kind `sample`,
    which plain formats do not train on. Of equally frequent answers, the one that came first counts.
    """

    samples: int = 8
    temperature: float = 0.7
    reading: Strictness = "strict"
    """As in `FewShotCot`."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale", "sample"})

    def __post_init__(self) -> None:
        if self.samples < 2 or self.temperature <= 0:
            raise ValueError(
                f"samples={self.samples} must be at least 2, temperature={self.temperature} above 0: a majority needs "
                "several different samples"
            )
        _ = self._chains  # refuses another reading

    @property
    def _chains(self) -> FewShotCot:
        return FewShotCot(self.samples, self.temperature, self.reading)

    def requires(self) -> Requirements:
        """A teacher that takes the few-shot prompt."""
        return self._chains.requires()

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """As `FewShotCot` with the same settings."""
        return self._chains.most_requests(question, context)

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """All samples. Their evidence has `votes`, the samples with the same answer, and `agreement`, votes / samples.

        If no answer can be read, the first sample is the `rationale`, without an answer.
        """
        rows = await self._chains.annotate(pick, context, ask)
        votes = Counter(row.answer for row in rows if row.answer is not None)
        elected = next((answer for answer, _ in votes.most_common(1)), None)  # of equals the first that was met
        chosen = next(row.id for row in rows if row.answer == elected)
        return [
            replace(
                row,
                kind="rationale" if row.id == chosen else "sample",
                evidence={**row.evidence, "votes": agreeing, "agreement": agreeing / self.samples},
            )
            for row, agreeing in ((row, 0 if row.answer is None else votes[row.answer]) for row in rows)
        ]


@dataclass(frozen=True)
class Rationalise:
    """The teacher is given the gold answer and writes why it is right (rationalisation)."""

    samples: int = 1
    temperature: float = 0.0
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    def __post_init__(self) -> None:
        _refuse_impossible(self.samples, self.temperature)

    def requires(self) -> Requirements:
        """Gold answers, and a teacher that takes the prompt."""
        return Requirements(gold=True, teacher_roles=frozenset({"rationalise"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request."""
        return [PlannedRequest(context.teachers[0], self._request(question, context), self.samples)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale` annotation per sample, with the gold answer; `rationale` is None if the reply is empty."""
        question, teacher = pick.question, context.teachers[0]
        request, gold = self._request(question, context), context.gold(question).answer
        return [
            Annotation(
                question=question,
                kind="rationale",
                source=teacher,
                rationale=rationale_with_trace(reply, own_words(reply, request) or None),
                answer=gold,
                sample=sample,
                evidence={**pick.evidence, "gold_given": True, "finish": reply.finish},
                exchanges=(Exchange(teacher, request, reply),),
            )
            for sample, reply in enumerate(await ask(teacher, request, self.samples))
        ]

    def _request(self, question: Question, context: PlanContext) -> Request:
        gold = context.gold(question).answer
        request = context.prompt("rationalise", question, temperature=self.temperature, gold=gold)
        return replace(request, stop=(NEXT_EXEMPLAR,))


@dataclass(frozen=True)
class HumanLabels:
    """The dataset's own answer and, where it has one, its human rationale."""

    rationale: bool = False
    """Whether the annotation includes the human rationale."""
    kinds: ClassVar[frozenset[str]] = frozenset({"gold"})

    def requires(self) -> Requirements:
        """Gold answers, and gold rationales if `rationale` is set."""
        return Requirements(gold=True, gold_rationale=self.rationale)

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """Nothing: no teacher is asked."""
        return []

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `gold` annotation."""
        example = context.gold(pick.question)
        rationale = example.rationale if self.rationale else None
        return [Annotation(pick.question, "gold", "human", rationale, example.answer, evidence=pick.evidence)]


@dataclass(frozen=True)
class Together:
    """Several annotators that write about the same question, in order."""

    annotators: tuple[Annotator, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of all annotators."""
        return frozenset[str]().union(*(annotator.kinds for annotator in self.annotators))

    def requires(self) -> Requirements:
        """The union of what the annotators require."""
        needs = Requirements()
        for annotator in self.annotators:
            needs = needs | annotator.requires()
        return needs

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """The requests of all annotators, in order; each annotator chooses among its own branches."""
        return [
            replace(request, branch=f"{number}/{request.branch}") if request.branch else request
            for number, annotator in enumerate(self.annotators)
            for request in annotator.most_requests(question, context)
        ]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """All annotations, annotator by annotator.

        If two annotators write the same kind, the later one's samples get the next free numbers, so every id is unique.
        """
        rows: dict[str, Annotation] = {}
        for annotator in self.annotators:
            for row in await annotator.annotate(pick, context, ask):
                while row.id in rows:
                    row = replace(row, sample=row.sample + 1)
                rows[row.id] = row
        return list(rows.values())
