"""A teacher in this process: a transformers model that answers prompts and shows its distributions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from benchmark.errors import ConfigError
from benchmark.student.encoding import Encoder
from benchmark.student.frozen import Accelerator, Precision, load_frozen
from benchmark.student.source import PretrainedStudent
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.gathering import Gatherer
from benchmark.teachers.teacher import TOKENS_PER_HELD_TOKEN, Capabilities, OpenTeacher, Price, replies_written
from benchmark.types import PlannedRequest, Reply, Request, Usage

if TYPE_CHECKING:
    from benchmark.student.student import Student

NOT_SCIENCE = {"identity": False}


@dataclass(frozen=True)
class _TeacherModel(PretrainedStudent):
    slot: ClassVar[str] = "teacher"


@dataclass(frozen=True)
class TransformersTeacher:
    """A decoder-only model in a Hugging Face folder, or on the hub at a fixed revision.

    It takes any prompt, in its chat template where it has one; `seed` decides what it samples above temperature 0. It
    can do what needs its probabilities: write against a contrast, and score given continuations.
    """

    stored: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(shows_probabilities=True, shows_distributions=True)
    name: str
    path: str | None = field(metadata=NOT_SCIENCE)
    max_length: int
    max_new_tokens: int
    seed: int = 0
    precision: Precision = "32-true"
    revision: str = field(default="main", metadata=NOT_SCIENCE)
    accelerator: Accelerator = field(default="auto", metadata=NOT_SCIENCE)
    batch_size: int = field(default=64, metadata=NOT_SCIENCE)
    price: Price = field(default=Price(), metadata=NOT_SCIENCE)
    licence: str = field(default="unknown", metadata=NOT_SCIENCE)

    @property
    def source(self) -> PretrainedStudent:
        """Where the model comes from."""
        return _TeacherModel(self.name, self.path, self.max_length, self.max_new_tokens, revision=self.revision)

    @property
    def roles(self) -> Collection[str] | None:
        """None: it takes any prompt."""
        return None

    @property
    def concurrency(self) -> int:
        """How many requests are worth being in flight: they are answered in batches."""
        return self.batch_size

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Gets ready; the weights are read when it is first asked. Raises ConfigError where there is no such model."""
        self.source.check()
        return _InProcess(self)

    def fingerprint(self, dataset: Dataset) -> str:
        """The hash of its weights and tokenizer."""
        return self.source.fingerprint()

    def model(self) -> Student:
        """The model itself, read once in a process."""
        source = self.source
        return load_frozen(source, source.fingerprint(), self.seed, self.accelerator, self.batch_size, self.precision)


class _InProcess:
    """The open door of a model in this process: what is asked at the same time is answered in one batch."""

    def __init__(self, teacher: TransformersTeacher) -> None:
        self.teacher = teacher
        self._write = Gatherer(self._written)
        self._score = Gatherer(self._scored)

    def covers(self, question_id: str) -> bool:
        """True: it can be asked about anything."""
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """The tokens of all that it reads as its tokenizer counts them, and replies up to their cap."""
        asked, samples = request.request, request.samples
        rows, room = _rows(asked), asked.max_new_tokens or self.teacher.max_new_tokens
        read = sum(map(len, self._encoder.requests(rows))) + len(rows) * TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(samples, samples * read, samples * replies_written(asked) * room)

    @cached_property
    def _encoder(self) -> Encoder:
        """The same as the model's own, without its weights."""
        source = self.teacher.source
        return Encoder(source.tokenizer(), source.max_length, source.has_encoder())

    async def reply(self, ask: Request, samples: int, first: int = 0) -> list[Reply]:
        """`samples` replies from number `first` on; a sample is the same in any company.

        Raises ConfigError for a prompt that does not fit the window; nothing has been computed by then.
        """
        self._refuse_overlong(ask)
        if ask.continuations:
            return [await self._score(ask)] * samples
        wanted = [(ask, sample) for sample in range(first, first + samples)]
        return list(await asyncio.gather(*(self._write(each) for each in wanted)))

    def _written(self, wanted: Sequence[tuple[Request, int]]) -> list[Reply]:
        return self.teacher.model().replies(wanted, log_probabilities=True)

    def _scored(self, requests: Sequence[Request]) -> list[Reply]:
        return self.teacher.model().score(requests)

    def _refuse_overlong(self, ask: Request) -> None:
        model = self.teacher.model()
        room = 1 if ask.continuations else ask.max_new_tokens or model.max_new_tokens
        longest = max(map(len, model.encoder.requests(_rows(ask))))
        if longest + room > model.max_length:
            raise ConfigError(
                f"teacher={self.teacher.name}: the {ask.role} prompt of question {ask.question_id!r} has {longest} "
                f"tokens, which leaves no room for {room} new ones in teacher.max_length={model.max_length}; raise it "
                "as far as the model goes, lower teacher.max_new_tokens, or show fewer exemplars"
            )


def _rows(ask: Request) -> list[Request]:
    """The texts that a request has read, each as a request of its own."""
    if ask.contrast is not None:
        return [ask, replace(ask, prompt=ask.contrast.prompt)]
    return [replace(ask, prefix=ask.prefix + text) for text in ask.continuations] or [ask]
