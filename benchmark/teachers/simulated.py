"""A teacher for generated tasks: it knows the solution, and makes mistakes of several kinds at rates that you set."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

from benchmark.errors import ConfigError
from benchmark.random_streams import stream_seed
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.guard import gold_opened
from benchmark.tasks.thinking import CLOSING, OPENING
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
from benchmark.types import PlannedRequest, Question, Reply, Request, Thinking, Usage

RATIONALISE = "rationalise"
"""What stands before and after a trace, as reasoning models write it."""
_RATES = ("wrong_step_rate", "wrong_answer_rate", "malformed_rate", "empty_rate", "trace_rate", "unclosed_trace_rate")
_EXEMPLAR_CLAUSE = re.compile(r"^A: [^\n]*\b([A-Z][a-z ]+) \S+\.$", re.MULTILINE)


@dataclass(frozen=True)
class SimulatedTeacher:
    """Answers the last question of a few-shot prompt, in the form of the exemplars.

    For each reply a probability is drawn from a beta distribution around the accuracy; the reply is right with that
    probability. To a `rationalise` prompt, which states the answer, it writes the reasoning only: then only
    `wrong_step_rate`, `empty_rate` and the two rates of traces have an effect, and no confidence is reported.

    A trace is what a model thinks before its reply, and it is right even where the reply is wrong. Only a dataset whose
    generator has `think` has traces, such as `pair_search`.
    """

    stored: ClassVar[bool] = False
    concurrency: ClassVar[int] = 1
    name: str = "simulated"
    wrong_step_rate: float = 0.0
    """Share of replies, in [0, 1], with a wrong step that leads to a wrong answer."""
    wrong_answer_rate: float = 0.0
    """Share of replies, in [0, 1], with right reasoning and then a wrong answer."""
    malformed_rate: float = 0.0
    """Share of replies, in [0, 1], without the answer clause."""
    empty_rate: float = 0.0
    """Share of replies, in [0, 1], without any text (behind the trace, where there is one)."""
    trace_rate: float = 0.0
    """Share of replies, in [0, 1], with a trace before the usual text: `<think>`, the trace, `</think>`."""
    unclosed_trace_rate: float = 0.0
    """Share of replies, in [0, 1], whose trace never ends: no text follows it, and the finish is `length`."""
    thinking: Thinking = "strip"
    """What becomes of a trace in rationales: `strip` leaves it out, `keep` leaves it in (between tags), and `only` puts
    it in their place."""
    confidence_concentration: float = 4.0
    """Concentration (alpha + beta) of the beta distribution; a higher value keeps it closer to the accuracy."""
    overconfidence: float = 1.0
    """Factor on the log-odds of the reported confidence: 1 is calibrated, above 1 is too confident."""
    seed: int = 0
    """Seed of all random draws."""
    price: Price = field(default=Price(), metadata={"identity": False})
    """A price to count its tokens by, in US dollars per million tokens."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """Its licence, for the model card of an exported student."""

    def __post_init__(self) -> None:
        for name in _RATES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not a rate between 0 and 1")
        for one, other in (("wrong_step_rate", "wrong_answer_rate"), ("trace_rate", "unclosed_trace_rate")):
            if (total := getattr(self, one) + getattr(self, other)) > 1:
                raise ValueError(f"{one} + {other} = {total} is above 1")
        if self.confidence_concentration <= 0 or self.overconfidence <= 0:
            raise ValueError("confidence_concentration and overconfidence must be positive")

    @property
    def capabilities(self) -> Capabilities:
        """It answers in text."""
        return Capabilities(thinking=self.thinking)

    @property
    def roles(self) -> Collection[str]:
        """The roles of the prompts that it understands: `few_shot_cot` and `rationalise`."""
        return ("few_shot_cot", RATIONALISE)

    def open(self, dataset: Dataset) -> OpenTeacher:
        """Returns the teacher, ready to answer.

        Raises:
            ConfigError: the dataset is not generated, or it has no traces and the teacher should write some.
        """
        if not isinstance(dataset, GeneratedDataset):
            raise ConfigError(
                f"teacher={self.name} knows generated tasks only; for dataset={dataset.name} choose a recorded "
                "teacher, for example teacher=palm540b"
            )
        if self.trace_rate + self.unclosed_trace_rate > 0 and not dataset.has_traces:
            raise ConfigError(
                f"teacher.trace_rate={self.trace_rate} and teacher.unclosed_trace_rate={self.unclosed_trace_rate}: "
                f"dataset={dataset.name} has no traces; choose one that has, for example dataset=pair_search, or set "
                "both rates to 0"
            )
        return _Simulation(self, dataset, _questions(dataset))

    def fingerprint(self, dataset: Dataset) -> str:
        """Empty: its replies follow from its settings and the dataset's rows."""
        return ""


@dataclass(frozen=True)
class _Simulation:
    teacher: SimulatedTeacher
    dataset: GeneratedDataset
    questions: Mapping[str, tuple[str, Question]]

    def covers(self, question_id: str) -> bool:
        return question_id in self.questions

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """What the request will be charged exactly: it writes the replies to count their tokens."""
        replies = [self._one(request.request, sample) for sample in range(request.samples)]
        prompt = estimated_tokens(request.request.prompt) + TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(len(replies), len(replies) * prompt, sum(reply.completion_tokens for reply in replies))

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        refuse_without_probabilities(self.teacher.name, request)
        return [self._one(request, sample) for sample in range(first, first + samples)]

    def _one(self, request: Request, sample: int) -> Reply:
        with gold_opened():  # it stands for a model, which has no gold: only its simulation solves the question
            return self._written(request, sample)

    def _written(self, request: Request, sample: int) -> Reply:
        shown, question = self.questions[request.question_id]
        if shown not in request.prompt.rpartition("Q: ")[2]:
            return with_estimated_tokens(request, Reply("", finish="not_asked"))
        chance = random.Random(stream_seed("simulated", self.teacher.seed, request.question_id, sample))
        confidence: float | None
        rationale, answer, confidence = self._solution(question, chance)
        text = f"{rationale} {_answer_clause(request.prompt)} {answer}."
        if chance.random() < self.teacher.malformed_rate:
            text = f"{rationale} So {answer}"
        if request.role == RATIONALISE:
            text, confidence = rationale, None  # the prompt states the answer, so it need not judge itself
        if chance.random() < self.teacher.empty_rate:
            text = ""
        reply = self._with_trace(Reply(text, confidence=confidence), question, sample)
        return with_estimated_tokens(request, reply)

    def _with_trace(self, reply: Reply, question: Question, sample: int) -> Reply:
        """The reply behind its trace, if it has one. Traces have random numbers of their own and move no others."""
        teacher = self.teacher
        chance = random.Random(stream_seed("simulated_trace", teacher.seed, question.id, sample))
        drawn = chance.random()
        if drawn >= teacher.unclosed_trace_rate + teacher.trace_rate:
            return reply
        begun = f"{OPENING}{self.dataset.think(question, chance)}"
        if drawn < teacher.unclosed_trace_rate:
            return replace(reply, text=begun, finish="length")
        return replace(reply, text=f"{begun}{CLOSING}{reply.text}")

    def _solution(self, question: Question, chance: random.Random) -> tuple[str, str, float]:
        """(rationale, answer, reported confidence) of one reply."""
        teacher = self.teacher
        error_rate = teacher.wrong_step_rate + teacher.wrong_answer_rate
        right = _beta(1 - error_rate, teacher.confidence_concentration, chance)
        rationale, answer = self.dataset.solve(question)
        if chance.random() >= right:
            wrong_rationale, wrong_answer = self.dataset.solve_wrongly(question, chance)
            answer = wrong_answer
            if chance.random() * error_rate < teacher.wrong_step_rate:
                rationale = wrong_rationale
        return rationale, answer, _sharpened(right, teacher.overconfidence)


def _questions(dataset: GeneratedDataset) -> Mapping[str, tuple[str, Question]]:
    rows = every_example(dataset.load())
    return {row.id: (dataset.task.show(row.without_gold()), row.without_gold()) for row in rows}


def _answer_clause(prompt: str) -> str:
    """The words that the exemplars put before their answers; without exemplars, other words."""
    found = cast(list[str], _EXEMPLAR_CLAUSE.findall(prompt))
    return found[-1] if found else "I would say it is"


def _beta(mean: float, concentration: float, chance: random.Random) -> float:
    if mean in (0.0, 1.0):
        return mean
    return chance.betavariate(mean * concentration, (1 - mean) * concentration)


def _sharpened(probability: float, factor: float) -> float:
    if probability in (0.0, 1.0):
        return probability
    log_odds = factor * math.log(probability / (1 - probability))
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0
