"""A teacher in this process: a transformers model that answers prompts and gives next-token distributions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from benchmark.errors import ConfigError
from benchmark.student.chat_template import TEMPLATE_DATE
from benchmark.student.encoding import Encoder
from benchmark.student.frozen import load_frozen
from benchmark.student.settings import ROWS_OF_OTHERS, Accelerator, Precision
from benchmark.student.source import PretrainedStudent
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.thinking import OPENING
from benchmark.teachers.gathering import Gatherer
from benchmark.teachers.replies import until_stop
from benchmark.teachers.teacher import TOKENS_PER_HELD_TOKEN, Capabilities, OpenTeacher, Price, replies_written
from benchmark.types import PlannedRequest, Reply, Request, Thinking, Usage

if TYPE_CHECKING:
    from benchmark.student.student import Student

NOT_SCIENCE = {"identity": False}


@dataclass(frozen=True)
class _TeacherModel(PretrainedStudent):
    slot: ClassVar[str] = "teacher"


@dataclass(frozen=True)
class TransformersTeacher:
    """A decoder-only model in a Hugging Face folder, or on the hub at a fixed revision.

    It takes any prompt, and puts it into its chat template if it has one. It can also answer requests that need
    probabilities: it writes against a contrast, and scores given continuations.
    """

    stored: ClassVar[bool] = True
    name: str
    path: str | None = field(metadata=NOT_SCIENCE)
    """A folder with the model, or its name on the hub."""
    max_length: int
    """Tokens of prompt and reply together; a longer request is refused."""
    max_new_tokens: int
    """The most tokens of a reply, unless the request has its own cap."""
    thinking: Thinking = field(default="strip", metadata={"store": False})
    """What becomes of a trace before the reply: `strip` leaves it out of rationales, `keep` puts it, between tags,
    before them, and `only` makes it the rationale."""
    template_date: str = field(default=TEMPLATE_DATE, metadata={"store": "if changed"})
    """Today (YYYY-MM-DD) for a chat template that reads the clock: its prompts must not differ from day to day."""
    seed: int = 0
    """Seed of the sampling above temperature 0."""
    precision: Precision = "32-true"
    """Number format of the computation; `auto` as in `Optimization`."""
    revision: str = field(default="main", metadata=NOT_SCIENCE)
    """Revision on the hub. A cell's identity holds the hash of the weights instead."""
    accelerator: Accelerator = field(default="auto", metadata=NOT_SCIENCE)
    """Device that the model runs on."""
    batch_size: int | None = field(default=None, metadata=NOT_SCIENCE)
    """Prompts per batch; null: 512 for tiny models, 64 for others."""
    price: Price = field(default=Price(), metadata=NOT_SCIENCE)
    """A price to count its tokens by, in US dollars per million tokens."""
    licence: str = field(default="unknown", metadata=NOT_SCIENCE)
    """The model's licence, for the model card of an exported student."""

    @property
    def source(self) -> PretrainedStudent:
        """The folder or hub repository of the model, with its length limits."""
        return _TeacherModel(
            self.name,
            self.path,
            self.max_length,
            self.max_new_tokens,
            revision=self.revision,
            template_date=self.template_date,
        )

    @property
    def capabilities(self) -> Capabilities:
        """It shows probabilities and distributions besides texts."""
        return Capabilities(shows_probabilities=True, shows_distributions=True, thinking=self.thinking)

    @property
    def roles(self) -> Collection[str] | None:
        """None: it takes any prompt."""
        return None

    @property
    def concurrency(self) -> int:
        """`batch_size`, or 64 without one: requests that wait at the same time are answered in one batch."""
        return self.batch_size or ROWS_OF_OTHERS

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Returns the teacher, ready to answer; it reads its weights later. Raises ConfigError if there is no model."""
        self.source.check()
        return _InProcess(self)

    def fingerprint(self, dataset: Dataset) -> str:
        """A hash of its weights and tokenizer."""
        return self.source.fingerprint()

    def model(self) -> Student:
        """The model itself; its weights are read once per process."""
        source = self.source
        return load_frozen(source, source.fingerprint(), self.seed, self.accelerator, self.batch_size, self.precision)


class _InProcess:
    """A model in this process, ready to answer: requests that wait at the same time form one batch."""

    def __init__(self, teacher: TransformersTeacher) -> None:
        self.teacher = teacher
        self._write = Gatherer(self._written)
        self._score = Gatherer(self._scored)

    def covers(self, question_id: str) -> bool:
        """True: it can be asked about anything."""
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """Prompt tokens as its tokenizer counts them, and completion tokens up to the cap."""
        asked, samples = request.request, request.samples
        rows, room = _rows(asked), asked.max_new_tokens or self.teacher.max_new_tokens
        read = sum(map(len, self._encoder.requests(rows))) + len(rows) * TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(samples, samples * read, samples * replies_written(asked) * room)

    @cached_property
    def _encoder(self) -> Encoder:
        """The same as the model's own, without its weights."""
        source = self.teacher.source
        return Encoder(source.tokenizer(), source.max_length, source.has_encoder())

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """Returns `samples` replies, numbered from `first` on; the rest of a batch does not change a reply.

        Raises ConfigError, before it computes anything, if the prompt does not fit into `max_length`.
        """
        self._refuse_overlong(request)
        if request.continuations:
            return [await self._score(request)] * samples
        wanted = [(request, sample) for sample in range(first, first + samples)]
        return list(await asyncio.gather(*(self._write(each) for each in wanted)))

    def _written(self, wanted: Sequence[tuple[Request, int]]) -> list[Reply]:
        model = self.teacher.model()
        if not self._encoder.begins_in_trace:
            return model.replies(wanted, log_probabilities=True)
        # Without the tag of the template, a trace that is cut would look like a reply, and one with `Q:` would be cut.
        unstopped = [(replace(request, stop=()), sample) for request, sample in wanted]
        return [
            until_stop(reply if request.prefix else replace(reply, text=OPENING + reply.text), request)
            for (request, _), reply in zip(wanted, model.replies(unstopped, log_probabilities=True), strict=True)
        ]

    def _scored(self, requests: Sequence[Request]) -> list[Reply]:
        return self.teacher.model().score(requests)

    def _refuse_overlong(self, request: Request) -> None:
        """Raises ConfigError for a prompt without room for a reply; a begun reply only shortens what is written."""
        model = self.teacher.model()
        room = 1 if request.continuations else request.max_new_tokens or model.max_new_tokens
        longest = max(self._longest(row, room) for row in _rows(request))
        if longest + room > model.max_length:
            raise ConfigError(
                f"teacher={self.teacher.name}: the {request.role} prompt of question {request.question_id!r} has "
                f"{longest} "
                f"tokens, which leaves no room for {room} new ones in teacher.max_length={model.max_length}; raise it "
                "as far as the model goes, lower teacher.max_new_tokens, or show fewer exemplars"
            )

    def _longest(self, row: Request, room: int) -> int:
        """Tokens that must stand before the new ones; of a begun reply only what is more than these can spare."""
        [(prompt, prefix)] = self._encoder.begun([row])
        return len(prompt) + (len(prefix) if row.continuations else max(0, len(prefix) - room + 1))


def _rows(request: Request) -> list[Request]:
    """The texts that the model reads for a request, each as a request of its own."""
    if request.contrast is not None:
        return [request, replace(request, prompt=request.contrast.prompt)]
    return [replace(request, prefix=request.prefix + text) for text in request.continuations] or [request]
