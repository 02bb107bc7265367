"""A teacher that replays a file: real outputs of large models, published by others, at no cost."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from benchmark.errors import DataError
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.json_lines import read_json_lines
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.tasks.rows import Answer, Fields, answer_text
from benchmark.teachers.replies import ANSWER_CLAUSE, split_answer
from benchmark.teachers.teacher import (
    TOKENS_PER_HELD_TOKEN,
    Capabilities,
    Price,
    estimated_tokens,
    every_example,
    refuse_without_probabilities,
    with_estimated_tokens,
)
from benchmark.types import PlannedRequest, Question, Reply, Request, Thinking, Usage


@dataclass(frozen=True)
class RecordedTeacher:
    """Replays JSON lines with `id`, `rationale`, `answer` and, optionally, `raw` and `sample`.

    A row becomes the text that the model would have sent (`rationale The answer is answer.`), so that the same parser
    reads it. An answer that is a number or a truth value is the option that says the same, or else its plain text; a
    rationale that is a list of steps is one text. If `answer` is null, `raw` takes its place; but if `raw` holds the
    rationale, it is the whole output, and the text is `raw` without its answer clause. The sample called `greedy` comes
    first; the others follow by number. Rows of questions outside the dataset are ignored.
    """

    stored: ClassVar[bool] = False
    concurrency: ClassVar[int] = 1
    name: str
    file: str | None = field(default=None, metadata={"identity": False})
    """Path of the recording; None: `recording` in the dataset's folder of `data_dir`."""
    recording: str = field(default="", metadata={"identity": False})
    """File name of the recording in the dataset's folder; read if `file` is None."""
    data_dir: str | None = field(default=None, metadata={"identity": False})
    """The folder that holds the datasets' folders; needed if `file` is None."""
    thinking: Thinking = "strip"
    """What becomes of a trace, between tags, before a reply: `strip` leaves it out of rationales, `keep` leaves it in,
    and `only` makes it the rationale."""
    price: Price = field(default=Price(), metadata={"identity": False})
    """A price to count its tokens by, in US dollars per million tokens."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The recording's licence, for the model card of an exported student."""

    @property
    def capabilities(self) -> Capabilities:
        """It answers in text."""
        return Capabilities(thinking=self.thinking)

    @property
    def roles(self) -> Collection[str]:
        """The role of the prompt that recordings answer: `few_shot_cot`."""
        return ("few_shot_cot",)

    def open(self, dataset: Dataset) -> Replay:
        """Reads the recording. Raises DataError if the file is missing or malformed, or repeats a sample."""
        questions = {row.id: row.without_gold() for row in every_example(dataset.load())}
        shown = {question_id: dataset.task.show(question) for question_id, question in questions.items()}
        return Replay(self.name, _replies(_read(self._path(dataset)), questions), shown)

    def fingerprint(self, dataset: Dataset) -> str:
        """The SHA-256 of the file's bytes; `missing` if there is no file."""
        path = self._path(dataset)
        return _file_hash(path) if path.is_file() else "missing"

    def _path(self, dataset: Dataset) -> Path:
        if self.file is not None:
            return Path(self.file)
        if not isinstance(dataset, JsonlDataset):
            raise DataError(
                f"teacher={self.name} is a recording, and dataset={dataset.name} has none; choose "
                "teacher=simulated, or give teacher.file=FILE"
            )
        if self.data_dir is None:
            raise DataError(f"teacher={self.name} is read from a recording: give data_dir=PATH or teacher.file=FILE")
        return Path(self.data_dir) / dataset.folder / self.recording


@dataclass(frozen=True)
class Replay:
    """A recording that is ready to answer."""

    name: str
    replies: Mapping[str, tuple[str, ...]]
    shown: Mapping[str, str]

    def covers(self, question_id: str) -> bool:
        """Whether the recording has a reply to the question."""
        return question_id in self.replies

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """What the request will be charged exactly, as the replies are known."""
        texts = self.replies[request.request.question_id][: request.samples]
        prompt = estimated_tokens(request.request.prompt) + TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(request.samples, request.samples * prompt, sum(map(estimated_tokens, texts)))

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """As `recorded`."""
        return self.recorded(request, samples, first)

    def recorded(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """The recorded replies with these numbers. Raises DataError if the recording holds fewer."""
        refuse_without_probabilities(self.name, request)
        if self.shown[request.question_id] not in request.prompt:
            # A recording that answered a question it was not asked would hide a broken template.
            return [with_estimated_tokens(request, Reply("", finish="not_asked"))] * samples
        texts = self.replies[request.question_id]
        wanted = first + samples
        if wanted > len(texts):
            raise DataError(
                f"{wanted} samples of question {request.question_id!r} are asked for; the recording holds {len(texts)}"
            )
        return [with_estimated_tokens(request, Reply(text)) for text in texts[first:wanted]]


@dataclass(frozen=True)
class _Said:
    """What the model said in one row of a recording."""

    rationale: str
    answer: Answer | None
    raw: str

    def text(self, choices: Sequence[str]) -> str:
        """The reply as the model would have sent it, if it was asked with these choices."""
        if self.answer is None and self.rationale and self.rationale in self.raw:
            return _without_clauses(self.raw)
        said = self.raw if self.answer is None else answer_text(self.answer, choices)
        clause = f"{ANSWER_CLAUSE} {said}." if said else ""
        return f"{self.rationale} {clause}".strip()


def _replies(
    recording: Mapping[str, tuple[_Said, ...]], questions: Mapping[str, Question]
) -> Mapping[str, tuple[str, ...]]:
    choices = {question_id: question.choices or () for question_id, question in questions.items()}
    return {
        question_id: tuple(said.text(choices.get(question_id, ())) for said in samples)
        for question_id, samples in recording.items()
    }


@lru_cache(maxsize=16)
def _read(path: Path) -> Mapping[str, tuple[_Said, ...]]:
    samples: dict[str, dict[str, _Said]] = {}
    for where, values in read_json_lines(path):
        fields = Fields(where, values)
        question_id, sample = fields.id(), fields.sample()
        of_question = samples.setdefault(question_id, {})
        if sample in of_question:
            raise DataError(f"{where}: sample {sample} of {question_id!r} is there twice")
        raw = fields.optional_text("raw") or ""
        of_question[sample] = _Said(fields.rationale() or "", fields.answer(), raw)
    return {
        question_id: tuple(said[sample] for sample in sorted(said, key=_sample_order))
        for question_id, said in samples.items()
    }


def _sample_order(sample: str) -> tuple[bool, int, str]:
    """Sorts the greedy sample first, then by number."""
    return sample != "greedy", len(sample), sample


def _without_clauses(text: str) -> str:
    """The text without the clauses that state an answer: what a recording calls null must not be read."""
    while (reasoning := split_answer(text)[0] or "") != text:
        text = reasoning
    return text


@lru_cache(maxsize=16)
def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
