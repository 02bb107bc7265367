"""A teacher that replays a file: real outputs of large models, published by others, at no cost."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from benchmark.errors import DataError
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.jsonl import JsonlDataset, read_json_lines
from benchmark.teachers.replies import ANSWER_CLAUSE, split_answer
from benchmark.teachers.teacher import (
    TOKENS_PER_HELD_TOKEN,
    Capabilities,
    OpenTeacher,
    Price,
    estimated_tokens,
    every_example,
    refuse_without_probabilities,
    with_estimated_tokens,
)
from benchmark.types import PlannedRequest, Reply, Request, Usage


@dataclass(frozen=True)
class RecordedTeacher:
    """Replays JSON lines with `id`, `rationale`, `answer` and, optionally, `raw` and `sample`.

    A row becomes the text that the model would have sent (`rationale The answer is answer.`), so that the same parser
    reads it. If `answer` is null, `raw` takes its place; but if `raw` holds the rationale, it is the whole output, and
    the text is `raw` without its answer clause. The sample called `greedy` comes first; the others follow by number.
    Rows of questions outside the dataset are ignored.
    """

    stored: ClassVar[bool] = False
    concurrency: ClassVar[int] = 1
    capabilities: ClassVar[Capabilities] = Capabilities()
    name: str
    file: str | None = field(default=None, metadata={"identity": False})
    """Path of the recording; None: `recording` in the dataset's folder of `data_dir`."""
    recording: str = field(default="", metadata={"identity": False})
    """File name of the recording in the dataset's folder; read if `file` is None."""
    data_dir: str | None = field(default=None, metadata={"identity": False})
    """The folder that holds the datasets' folders; needed if `file` is None."""
    price: Price = field(default=Price(), metadata={"identity": False})
    """A price to count its tokens by, in US dollars per million tokens."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The recording's licence, for the model card of an exported student."""

    @property
    def roles(self) -> Collection[str]:
        """The role of the prompt that recordings answer: `few_shot_cot`."""
        return ("few_shot_cot",)

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Reads the recording. Raises DataError if the file is missing or malformed, or repeats a sample."""
        return _Replay(self.name, _read(self._path(dataset)), _shown_questions(dataset))

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
class _Replay:
    name: str
    replies: Mapping[str, tuple[str, ...]]
    shown: Mapping[str, str]

    def covers(self, question_id: str) -> bool:
        return question_id in self.replies

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """What the request will be charged exactly, as the replies are known."""
        texts = self.replies[request.request.question_id][: request.samples]
        prompt = estimated_tokens(request.request.prompt) + TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(request.samples, request.samples * prompt, sum(map(estimated_tokens, texts)))

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
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


def _shown_questions(dataset: Dataset) -> Mapping[str, str]:
    return {row.id: dataset.task.show(row.without_gold()) for row in every_example(dataset.load())}


@lru_cache(maxsize=16)
def _read(path: Path) -> Mapping[str, tuple[str, ...]]:
    samples: dict[str, dict[str, str]] = {}
    for where, row in read_json_lines(path):
        if not isinstance(row.get("id"), str):
            raise DataError(f"{where}: 'id' must be a text, but is {row.get('id')!r}")
        of_question = samples.setdefault(row["id"], {})
        sample = str(row.get("sample", 0))
        if sample in of_question:
            raise DataError(f"{where}: sample {sample} of {row['id']!r} is there twice")
        of_question[sample] = _as_text(row)
    return {
        question_id: tuple(texts[sample] for sample in sorted(texts, key=_sample_order))
        for question_id, texts in samples.items()
    }


def _sample_order(sample: str) -> tuple[bool, int, str]:
    """Sorts the greedy sample first, then by number."""
    return sample != "greedy", len(sample), sample


def _as_text(row: Mapping[str, Any]) -> str:
    rationale, answer, raw = row.get("rationale") or "", row.get("answer"), row.get("raw") or ""
    if answer is None and rationale and rationale in raw:
        return split_answer(raw)[0] or ""
    said = raw if answer is None else answer
    clause = f"{ANSWER_CLAUSE} {said}." if said else ""
    return f"{rationale} {clause}".strip()


@lru_cache(maxsize=16)
def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
