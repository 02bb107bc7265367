"""Scripted models for methods that talk: they keep their own books, write down what they hear, and die on command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

import pytest

import benchmark.running.cell_models
from benchmark.cell.cell import Cell
from benchmark.contract import (
    Annotator,
    AskModels,
    Context,
    Curriculum,
    Format,
    Loss,
    PlanContext,
    Requirements,
    Schedule,
    Selection,
    Weighting,
)
from benchmark.records.journal import as_json
from benchmark.records.record_parts import TestScore
from benchmark.student.student import Student
from benchmark.tasks import chain_sum
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.tasks.guard import gold_opened
from benchmark.teachers.panel import Panel
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price, Teacher, estimated_tokens
from benchmark.types import Annotation, Pick, PlannedRequest, Question, Reply, Request, TrainingExample, Usage
from tests.corridor import corridor_parts
from tests.corridor.corridor_parts import Killed as Killed
from tests.corridor.corridor_parts import Ran as Ran
from tests.corridor.corridor_parts import fingerprint as fingerprint

Says = Callable[[Request, int], str]
"""(request, number of the sample) -> reply"""
PRICE = Price(2.0, 10.0)
LONGEST_REPLY = 64
"""Tokens, by the rule of thumb, that no script goes beyond."""


# --- death -----------------------------------------------------------------------------------------------------------


@dataclass
class Fate:
    """Which calls nobody survives: the one with number `at`, or, where `always`, every call at its first try."""

    at: int | None = None
    always: bool = False
    calls: int = 0
    met: set[Hashable] = field(default_factory=set)

    def meet(self, *call: Hashable) -> None:
        """Counts a call and may end it."""
        first = call not in self.met
        self.met.add(call)
        self.calls += 1
        if self.calls == self.at or (self.always and first):
            raise Killed(f"call {self.calls}")


# --- scripted models -------------------------------------------------------------------------------------------------


@dataclass
class Books:
    """What a teacher was asked and what it answered, counted by itself."""

    asked: list[Request] = field(default_factory=list)
    answered: Usage = field(default_factory=Usage)


@dataclass
class ScriptedTeacher:
    """Says what the script says. It knows nothing of the test split, so that no reference is measured with it."""

    name: str
    says: Says
    price: Price = PRICE
    fate: Fate = field(default_factory=Fate)
    books: Books = field(default_factory=Books)
    roles: None = None
    stored: bool = False
    concurrency: int = 1
    capabilities: ClassVar[Capabilities] = Capabilities()

    def open(self, dataset: Dataset) -> OpenTeacher:
        return self

    def fingerprint(self, dataset: Dataset) -> str:
        return ""

    def covers(self, question_id: str) -> bool:
        return is_of_pool(question_id)

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        prompt = estimated_tokens(request.request.prompt) + 2 * held_tokens
        return Usage(request.samples, request.samples * prompt, request.samples * LONGEST_REPLY)

    async def reply(self, request: Request, samples: int) -> list[Reply]:
        self.books.asked.append(request)
        await asyncio.sleep(0)
        self.fate.meet(self.name, request, samples)
        texts = [self.says(request, sample) for sample in range(samples)]
        replies = [Reply(text, "stop", estimated_tokens(request.prompt), estimated_tokens(text)) for text in texts]
        for reply in replies:
            self.books.answered += self.price.of(reply)
        return replies


@dataclass(frozen=True)
class Heard:
    """One call to a local model, with a hash of its weights at that moment."""

    weights: str
    requests: tuple[Request, ...]
    samples: int


@dataclass
class Script:
    """What a local model says about questions of the pool, and which log-probability it gives to a continuation.

    Where it is silent, and at validation and test, the network speaks.
    """

    says: Says | None = None
    believes: Callable[[str, str], float] | None = None
    fate: Fate = field(default_factory=Fate)
    heard: list[Heard] = field(default_factory=list)

    @property
    def requests(self) -> list[Request]:
        """All requests about questions of the pool, in order."""
        return [request for heard in self.heard for request in heard.requests]


@dataclass
class ScriptedModel(Student):
    """A real network, trained as ever, with a script in front of it."""

    script: Script = field(default_factory=Script)

    def generate(
        self,
        requests: Sequence[Request],
        samples: int = 1,
        key: str = "",
        advance: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Reply]]:
        self.script.fate.meet("generate", tuple(requests), samples, key)
        if not all(is_of_pool(request.question_id) for request in requests):
            return super().generate(requests, samples, key, advance)
        self.script.heard.append(Heard(fingerprint(self), tuple(requests), samples))
        if self.script.believes is not None and all(request.continuations for request in requests):
            return [[self._scored(request, self.script.believes)] for request in requests]
        if self.script.says is None:
            return super().generate(requests, samples, key, advance)
        replies = [
            [_reply(request, self.script.says(request, sample)) for sample in range(samples)] for request in requests
        ]
        self.usage += sum((_work(reply) for of_ask in replies for reply in of_ask), Usage())
        return replies

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        self.script.fate.meet("score", tuple(examples))
        return super().target_log_probabilities(examples)

    def _scored(self, request: Request, believes: Callable[[str, str], float]) -> Reply:
        self.usage += Usage(calls=1, prompt_tokens=len(request.prompt))
        scores = tuple(believes(request.prompt, text) for text in request.continuations)
        return Reply("", prompt_tokens=len(request.prompt), continuation_log_probabilities=scores)


def _reply(request: Request, text: str) -> Reply:
    return Reply(text, "stop", len(request.prompt) + len(request.prefix), len(text))


def _work(reply: Reply) -> Usage:
    return Usage(1, reply.prompt_tokens, reply.completion_tokens)


def is_of_pool(question_id: str) -> bool:
    return "-pool-" in question_id


def number_of(question_id: str) -> int:
    """The number in a question's id, from which scripts take what happens to it."""
    return int(question_id.rpartition("-")[2])


def true_steps(shown: str) -> list[str]:
    """The steps of a chain sum."""
    return _solved(shown)[0].split(";")


def true_answer(shown: str) -> str:
    return _solved(shown)[1]


def _solved(shown: str) -> tuple[str, str]:
    """(rationale, answer), known to a script as to the model that it stands for."""
    with gold_opened():
        return chain_sum.solve(Question("", shown))


# --- wrappers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeardSelection:
    """A selection whose picks are written down as it made them, before the journal has seen them."""

    inner: Selection
    picks: list[Pick] = field(default_factory=list, compare=False)

    def requires(self) -> Requirements:
        return self.inner.requires()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        picks = self.inner.rank(pool, context)
        self.picks.extend(picks)
        return picks


@dataclass(frozen=True)
class HeardAnnotator:
    """An annotator whose annotations are written down as it made them."""

    inner: Annotator
    rows: list[Annotation] = field(default_factory=list, compare=False)

    @property
    def kinds(self) -> frozenset[str]:
        return self.inner.kinds

    def requires(self) -> Requirements:
        return self.inner.requires()

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        return self.inner.most_requests(question, context)

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        rows = await self.inner.annotate(pick, context, ask)
        self.rows.extend(rows)
        return rows


def assert_survives_json(rows: Sequence[Pick | Annotation]) -> None:
    """A tuple, a set or a numpy number would come back as something else, or not at all."""
    for row in rows:
        assert as_json(row.evidence) == row.evidence
        assert _types(as_json(row.evidence)) == _types(row.evidence)


def _types(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _types(item) for key, item in value.items()}
    return [_types(item) for item in value] if isinstance(value, list) else type(value)


@dataclass(frozen=True)
class OtherGold:
    """A dataset in whose pool every gold answer and rationale belongs to the next question."""

    dataset: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    def load(self) -> Splits:
        splits: Splits = self.dataset.load()
        following = (*splits.pool[1:], splits.pool[0])
        pool = tuple(
            replace(row, answer=other.answer, rationale=other.rationale)
            for row, other in zip(splits.pool, following, strict=True)
        )
        return replace(splits, pool=pool)


# --- cells and their lives -------------------------------------------------------------------------------------------


class Parts(TypedDict, total=False):
    """What a miniature cell may replace; mypy checks every scripted method against the contract here."""

    schedule: Schedule
    selection: Selection
    annotation: Annotator
    weighting: Weighting
    curriculum: Curriculum
    format: Format
    loss: Loss


def miniature(*overrides: str, teacher: Teacher | Panel | None = None, **parts: Unpack[Parts]) -> Cell:
    """The embedded default made small, with a scripted teacher and the method's parts."""
    cell = _composed(overrides)
    return replace(cell, teacher=teacher or cell.teacher, method=replace(cell.method, **parts))


@lru_cache(maxsize=32)
def _composed(overrides: tuple[str, ...]) -> Cell:
    """Composing takes longer than an attempt at a miniature cell."""
    return corridor_parts.miniature(*overrides)


def run(cell: Cell, folder: Path, student: Script | None = None, assistant: Script | None = None) -> Ran:
    """Runs the corridor, or goes on where an attempt in the same folder died, with scripts before its local models."""
    with _scripts(student, assistant):
        ran = corridor_parts.run(cell, folder)
    if isinstance(cell.method.annotation, HeardAnnotator):  # many questions are in flight, and any may be done first
        order = {row["question_id"]: place for place, row in enumerate(ran.table("annotations"))}
        cell.method.annotation.rows.sort(key=lambda row: order[row.question.id])
    return ran


@contextmanager
def _scripts(student: Script | None, assistant: Script | None) -> Iterator[None]:
    models: Any = benchmark.running.cell_models
    load_student, load_assistant = models.load_student, models.load_assistant

    def scripted_student(*arguments: Any) -> Student:
        return _scripted(load_student(*arguments), student)

    def scripted_assistant(cell: Cell) -> Student:
        real = load_assistant(cell)  # without a folder, any network will do behind a script
        return _scripted(
            real or load_student(cell.student, cell.seed, cell.trainer, cell.optimization.precision), assistant
        )

    with pytest.MonkeyPatch.context() as patch:
        if student is not None:
            patch.setattr(models, "load_student", scripted_student)
        if assistant is not None:
            patch.setattr(models, "load_assistant", scripted_assistant)
        yield


def _scripted(model: Student, script: Script | None) -> Student:
    return model if script is None else ScriptedModel(**vars(model), script=script)


def outcome(ran: Ran) -> dict[str, Any]:
    """Everything that two runs of one cell must share to the last bit: all but the clock."""
    result = ran.result
    return {
        "weights": fingerprint(ran.cell_run.student),
        "annotations": ran.table("annotations"),
        "predictions": ran.table("predictions"),
        "picks": ran.table("picks"),
        "stages": ran.table("stages"),
        "test": [{**row, **dict.fromkeys(TestScore.TIMES)} for row in result["test"]],
        "train": {**result["train"], "seconds": None},
        "rounds": [{**row, "score_error_correlation": None} for row in result["rounds"]],  # measured with gold
        **{key: result[key] for key in ("counters", "uses_gold", "teacher_reference")},
    }


def assert_same(one: Ran, other: Ran) -> None:
    """Equal key by key, so that a failure names what differs."""
    ours, theirs = outcome(one), outcome(other)
    for key in ours:
        assert ours[key] == theirs[key], key


Life = Callable[[Path, Fate], Ran]
"""One attempt at a cell in a folder of results, with everybody's fate."""


def live_through(life: Life, folder: Path, fate: Fate) -> tuple[Ran, int]:
    """Tries again after every death, and returns the run that made it with the number of deaths before."""
    deaths = 0
    while True:
        try:
            return life(folder, fate), deaths
        except Killed:
            deaths += 1


def calls_of(life: Life, folder: Path) -> tuple[Ran, int]:
    """An uninterrupted run, and how many calls there are to die in."""
    fate = Fate()
    return life(folder, fate), fate.calls


def spread(calls: int, deaths: int) -> list[int]:
    """That many numbers of calls from the first to the last, evenly."""
    return sorted({1 + (calls - 1) * i // (deaths - 1) for i in range(deaths)})


def kept_in(folder: Path) -> set[str]:
    """Ids of the questions that earlier attempts at a cell have bought and written down."""
    rows = [line for file in folder.rglob("bought.jsonl") for line in file.read_text().splitlines()]
    return {json.loads(row)["bought"]["question_id"] for row in rows}


def assert_asked_in_one_go(asked: Sequence[Request]) -> None:
    """Over all attempts: no question is returned to once another has begun, so nothing that was kept is asked again."""
    in_order = [question_id for question_id, _ in groupby(request.question_id for request in asked)]
    assert len(in_order) == len(set(in_order))
