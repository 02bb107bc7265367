"""A teacher in this process: a transformers model that answers prompts and shows its distributions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from benchmark.student.encoding import Encoder
from benchmark.student.frozen import Accelerator, Precision, load_frozen
from benchmark.student.source import PretrainedStudent
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.teacher import TOKENS_PER_HELD_TOKEN, OpenTeacher, Price
from benchmark.types import Ask, PlannedRequest, Reply, Usage

if TYPE_CHECKING:
    from benchmark.student.student import Student

NOT_SCIENCE = {"identity": False}


@dataclass(frozen=True)
class _TeacherModel(PretrainedStudent):
    slot: ClassVar[str] = "teacher"


@dataclass(frozen=True)
class TransformersTeacher:
    """A decoder-only model in a Hugging Face folder, or on the hub at a fixed revision.

    It takes any prompt, in its chat template where it has one; `seed` decides what it samples above temperature 0.
    """

    stored: ClassVar[bool] = True
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
        """A batch."""
        return self.batch_size

    @property
    def token_counts_are_estimated(self) -> bool:
        """False: its own tokenizer counts."""
        return False

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


@dataclass(frozen=True)
class _InProcess:
    teacher: TransformersTeacher

    def covers(self, question_id: str) -> bool:
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """The prompt's tokens as its tokenizer counts them, and replies up to their cap."""
        [prompt] = self._encoder.requests([request.ask])
        room = request.ask.max_new_tokens or self.teacher.max_new_tokens
        of_prompt = len(prompt) + TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(request.samples, request.samples * of_prompt, request.samples * room)

    @cached_property
    def _encoder(self) -> Encoder:
        """The same as the model's own, without its weights."""
        source = self.teacher.source
        return Encoder(source.tokenizer(), source.max_length, source.has_encoder())

    async def reply(self, ask: Ask, samples: int, first: int = 0) -> list[Reply]:
        model = self.teacher.model()
        [prompt] = model.encoder.requests([ask])
        room = ask.max_new_tokens or model.max_new_tokens
        if len(prompt) + room > model.max_length:
            raise ValueError(
                f"the {ask.role} prompt of question {ask.question_id!r} has {len(prompt)} tokens, which leaves no "
                f"room for {room} new ones in teacher.max_length={model.max_length}; raise it, or lower "
                "teacher.max_new_tokens"
            )
        return model.generate([ask], first + samples)[0][first:]
