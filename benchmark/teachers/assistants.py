"""Assistants without weights: a simulated one, and one whose replies were recorded. Both only read and write text.

Each stands for a model, so that a cell that asks one is not marked as using gold.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

from benchmark.errors import ConfigError, DataError
from benchmark.random_streams import stream_seed
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.guard import gold_opened
from benchmark.tasks.steps import SEPARATOR
from benchmark.teachers.answer_key import AnswerKey, answer_key, steps_of
from benchmark.teachers.local_model import LocalModel
from benchmark.teachers.prompt_fields import explained
from benchmark.teachers.recorded import RecordedTeacher, Replay
from benchmark.teachers.replies import split_answer
from benchmark.teachers.simulated import SimulatedTeacher, Simulation, beta, sharpened
from benchmark.teachers.simulated_roles import VERIFY, clause
from benchmark.teachers.teacher import (
    BYTES_PER_TOKEN,
    estimated_tokens,
    refuse_without_probabilities,
    with_estimated_tokens,
)
from benchmark.types import Reply, Request, TrainingExample, Usage

if TYPE_CHECKING:
    import numpy as np

FORMAT_ROLES = ("answer", "rationale", "rationale_and_answer", "answer_given")
"""Roles in which formats ask a student, and so an assistant too."""
YES_WORDS, NO_WORDS = ("true", "yes", "right", "correct"), ("false", "no", "wrong", "incorrect")
"""The verdicts that a simulated assistant can give a probability, in any case."""
LEAST_PROBABILITY = 1e-6
"""The least probability of a verdict, so that its logarithm is finite."""


@runtime_checkable
class TextAssistant(Protocol):
    """The settings of an assistant that has no weights."""

    name: str
    licence: str
    max_new_tokens: int

    @property
    def roles(self) -> Collection[str]:
        """The roles of a method's prompts that it can answer."""
        ...

    def fingerprint(self, dataset: Dataset) -> str:
        """A hash of what its replies depend on besides its settings; empty if there is nothing."""
        ...

    def check_assistant(self, dataset: Dataset) -> None:
        """Raises ConfigError or DataError if it cannot answer about the dataset."""
        ...

    def assist(self, dataset: Dataset) -> LocalModel:
        """The model, with new counts."""
        ...


@dataclass(frozen=True)
class SimulatedAssistant(SimulatedTeacher):
    """A simulated teacher in the place of the assistant: it also answers a format's prompts, and weighs verdicts.

    Asked how likely its reply begins with verdicts such as `True` and `False`, it reads the question and the solution
    in the prompt. Its probability that the solution is right is drawn from a beta distribution, whose mean follows from
    the rates of `verify`, and is reported with `overconfidence`.

    With `judge_auroc`, the log-odds of right and of wrong solutions are drawn from two normal distributions instead, so
    far apart that a right one has the higher number with this probability. Where half of the solutions are right, these
    log-odds are calibrated.
    """

    slot: ClassVar[str] = "assistant"
    answer_marker: str = "#"
    """The text between rationale and answer in replies to `rationale_and_answer`; give the format's."""
    max_new_tokens: int = 128
    """The most tokens of a reply whose request sets no cap."""
    judge_auroc: float | None = None
    """The area under the curve of its verdicts, in [0.5, 1): 0.5 knows nothing. None: the rates of `verify`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.judge_auroc is not None and not 0.5 <= self.judge_auroc < 1:
            raise ValueError(f"judge_auroc={self.judge_auroc} must be from 0.5 to below 1, or null")

    def check_assistant(self, dataset: Dataset) -> None:
        """Raises ConfigError if the dataset is not generated."""
        self.open(dataset)

    def assist(self, dataset: Dataset) -> LocalModel:
        """The model, with new counts."""
        self.open(dataset)
        assert isinstance(dataset, GeneratedDataset)
        return _SimulatedModel(self, answer_key(dataset), name=self.name)


@dataclass(frozen=True)
class RecordedAssistant(RecordedTeacher):
    """A recording in the place of the assistant. It answers a format's prompts, and knows no probabilities."""

    slot: ClassVar[str] = "assistant"
    answer_marker: str = "#"
    """The text between rationale and answer in replies to `rationale_and_answer`; give the format's."""
    max_new_tokens: int = 512
    """The most tokens of a reply, for worst cases; a longer one is cut."""

    def check_assistant(self, dataset: Dataset) -> None:
        """Raises DataError if the recording is missing or malformed, or lacks a question of the pool."""
        recording, pool = self.open(dataset), dataset.load().pool
        missing = sum(not recording.covers(row.id) for row in pool)
        if missing:
            raise DataError(
                f"assistant={self.name} does not cover {missing} of the {len(pool)} questions in the pool of "
                f"{dataset.name}; choose a recording that does, or assistant=pretrained"
            )

    def assist(self, dataset: Dataset) -> LocalModel:
        """The model, with new counts."""
        return _RecordedModel(self, self.open(dataset), name=self.name)


@dataclass(kw_only=True)
class _Counted:
    """The counts of an assistant without weights, which cuts no prompt and has no hidden states."""

    name: str
    usage: Usage = field(default_factory=Usage)
    counters: Counter[str] = field(default_factory=Counter)
    batch_size: int = 64

    def apart(self) -> Self:
        return replace(self, usage=Usage(), counters=Counter())

    def cut_counts(self, request: Request) -> Counter[str]:
        return Counter()

    def book(self, usage: Usage, counts: Counter[str]) -> None:
        self.usage += usage
        self.counters.update(counts)

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        raise ConfigError(
            f"a part asks assistant={self.name} for embeddings, which only a model with weights has; choose "
            "assistant=pretrained assistant.path=FOLDER"
        )


@dataclass
class _SimulatedModel(_Counted):
    source: SimulatedAssistant
    key: AnswerKey

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        with gold_opened():  # it stands for a model, which has no gold
            replies = [[self._one(request, sample, key) for sample in range(samples)] for request in requests]
        self.usage += _work(replies)
        return replies

    def _one(self, request: Request, sample: int, key: str) -> Reply:
        if request.continuations:
            scores = tuple(self._log_probability(request.prompt, word) for word in request.continuations)
            return with_estimated_tokens(request, Reply("", continuation_log_probabilities=scores))
        refuse_without_probabilities(self.source.name, request)
        sampled = request.temperature > 0
        seed = stream_seed("simulated_assistant", self.source.seed, key if sampled else "")  # not the teacher's errors
        model, number = Simulation(replace(self.source, seed=seed), self.key), sample if sampled else 0
        if request.role not in FORMAT_ROLES:
            return _capped(model.one(request, number), request, self.source.max_new_tokens)
        shown, question = self.key.questions[request.question_id]
        if shown not in request.prompt:
            return with_estimated_tokens(request, Reply("", finish="not_asked"))
        rationale, answer, confidence = model.solution(question, number)
        text = in_format(request, rationale, answer, self.source.answer_marker)
        reply = with_estimated_tokens(request, Reply(text, confidence=confidence))
        return _capped(reply, request, self.source.max_new_tokens)

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        if not examples:
            return []
        raise ConfigError(
            f"a part asks assistant={self.source.name} for the log-probabilities of a text, such as "
            f"{examples[0].target_text[:40]!r}; it weighs verdicts only: choose assistant=pretrained "
            "assistant.path=FOLDER"
        )

    def _log_probability(self, prompt: str, verdict: str) -> float:
        word = verdict.strip().strip(".").lower()
        if word not in (*YES_WORDS, *NO_WORDS):
            raise ConfigError(
                f"assistant={self.source.name} gives probabilities to verdicts only, such as True and False, not to "
                f"{verdict[:40]!r}; choose assistant=pretrained assistant.path=FOLDER"
            )
        right = self._probability_of_right(prompt)
        return math.log(max(LEAST_PROBABILITY, right if word in YES_WORDS else 1 - right))

    def _probability_of_right(self, prompt: str) -> float:
        question = self.key.question_in(prompt)
        if question is None:
            raise ConfigError(
                f"assistant={self.source.name} finds no question of {self.key.dataset.name} in a prompt that asks for "
                f"a verdict ({prompt[:60]!r}...); the question must stand there as the task shows it, on its own lines"
            )
        solution = solution_behind(prompt, self.key.questions[question.id][0])
        rates = self.source.judgements[VERIFY]
        right = self.key.follows(question, (), solution)
        chance = random.Random(stream_seed("simulated_verdict", self.source.seed, question.id, solution))
        if self.source.judge_auroc is not None:
            apart = math.sqrt(2) * NormalDist().inv_cdf(self.source.judge_auroc)
            log_odds = apart * chance.gauss(apart / 2 if right else -apart / 2, 1)
            return sharpened(1 / (1 + math.exp(-log_odds)), self.source.overconfidence)
        mean = 1 - rates.false_reject if right else rates.false_accept
        return sharpened(beta(mean, self.source.confidence_concentration, chance), self.source.overconfidence)


@dataclass
class _RecordedModel(_Counted):
    source: RecordedAssistant
    recording: Replay

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        replies = [self._replies(request, samples) for request in requests]
        self.usage += _work(replies)
        return replies

    def _replies(self, request: Request, samples: int) -> list[Reply]:
        if request.continuations:
            raise self._without_probabilities()
        if request.prefix:
            raise ConfigError(
                f"assistant={self.source.name} is a recording, which cannot go on from a begun reply, as the "
                f"{request.role} prompt asks; choose assistant=simulated or assistant=pretrained"
            )
        return [self._in_format(request, reply) for reply in self.recording.recorded(request, samples)]

    def _in_format(self, request: Request, reply: Reply) -> Reply:
        if request.role in FORMAT_ROLES and reply.finish != "not_asked":
            rationale, answer = split_answer(reply.text)
            text = in_format(request, rationale or "", answer or "", self.source.answer_marker)
            reply = with_estimated_tokens(request, replace(reply, text=text))
        return _capped(reply, request, self.source.max_new_tokens)

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        if not examples:
            return []
        raise self._without_probabilities()

    def _without_probabilities(self) -> ConfigError:
        return ConfigError(
            f"a part asks assistant={self.source.name} for log-probabilities, which a recording does not hold; choose "
            "assistant=simulated or assistant=pretrained assistant.path=FOLDER"
        )


def in_format(request: Request, rationale: str, answer: str, marker: str) -> str:
    """A rationale and an answer as a format's role wants them, from the request's begun reply on."""
    if request.role in ("answer", "answer_given") or (request.prefix and request.prefix.endswith(marker)):
        return answer
    missing = steps_of(rationale)[len(steps_of(request.prefix)) :] if request.prefix else [rationale]
    text = SEPARATOR.join(missing)
    if request.prefix and missing and not request.prefix.endswith(SEPARATOR):
        text = SEPARATOR + text
    return text if request.role == "rationale" else f"{text}{marker}{answer}"


def solution_behind(prompt: str, shown: str) -> str:
    """The solution that stands behind the question: steps and `Answer:`, as one text that states the answer.

    The steps are on the next line, or behind the label `Solution:` or `Explanation:`.
    """
    part = prompt.partition(shown)[2].lstrip("\n")
    line = part.partition("\n")[0]
    found = explained(part if line.startswith(("Solution:", "Explanation:", "Answer:")) else f"Solution: {part}")
    assert found is not None
    answer, reasoning = found
    return reasoning if answer is None else f"{reasoning} {clause(answer)}".strip()


def _capped(reply: Reply, request: Request, own_cap: int) -> Reply:
    cap = request.max_new_tokens or own_cap
    if reply.completion_tokens <= cap:
        return reply
    text = reply.text.encode()[: BYTES_PER_TOKEN * cap].decode(errors="ignore")
    return replace(reply, text=text, finish="length", completion_tokens=estimated_tokens(text))


def _work(replies: Sequence[Sequence[Reply]]) -> Usage:
    every = [reply for of_request in replies for reply in of_request]
    return Usage(len(every), sum(one.prompt_tokens for one in every), sum(one.completion_tokens for one in every))
