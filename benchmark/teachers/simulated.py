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
from benchmark.teachers.answer_key import AnswerKey, answer_key
from benchmark.teachers.prompt_fields import asked_part
from benchmark.teachers.simulated_roles import (
    CRITIQUE,
    FINISH,
    FIX,
    JUSTIFY,
    READING_ROLES,
    REVISE,
    VERIFY,
    Judgement,
    Player,
    assignment_in,
    clause,
)
from benchmark.teachers.teacher import (
    BYTES_PER_TOKEN,
    TOKENS_PER_HELD_TOKEN,
    Capabilities,
    Price,
    estimated_tokens,
    refuse_without_probabilities,
    with_estimated_tokens,
)
from benchmark.types import PlannedRequest, Question, Reply, Request, Thinking, Usage

RATIONALISE = "rationalise"
TOKENS_TO_SPARE = 32
"""How many tokens a reply in a role that reads may have beyond twice the worked solution."""
"""What stands before and after a trace, as reasoning models write it."""
_RATES = ("wrong_step_rate", "wrong_answer_rate", "malformed_rate", "empty_rate", "trace_rate", "unclosed_trace_rate")
_EXEMPLAR_CLAUSE = re.compile(r"^A: [^\n]*\b([A-Z][a-z ]+) \S+\.$", re.MULTILINE)


@dataclass(frozen=True)
class SimulatedTeacher:
    """Answers the last question of a few-shot prompt, or reads what others wrote about it.

    Its reply to a few-shot prompt has the form of the exemplars. For each such reply a probability is drawn from a beta
    distribution around the accuracy; the reply is right with that probability. To a `rationalise` prompt, which states
    the answer, it writes the reasoning only: then only `wrong_step_rate`, `empty_rate` and the two rates of traces have
    an effect, and no confidence is reported.

    In the roles `verify`, `fix`, `finish`, `justify`, `critique` and `revise` it compares a text in the prompt with the
    worked solution, step by step, and judges wrongly at the rates of the role. Then `wrong_step_rate`,
    `wrong_answer_rate` and `malformed_rate` have no effect, and no confidence is reported. The labels that it reads are
    in `docs/how-to/use-simulated-models.md`. Replies in these roles are no longer than twice the worked solution and 32
    tokens; what would be longer is cut there, and its finish is `length`.

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
    verify: Judgement = field(default=Judgement())
    """How often it judges a line, or a whole solution, wrongly."""
    fix: Judgement = field(default=Judgement())
    """How often it judges a rejected line wrongly: it writes a wrong one again, or a wrong one in place of a right one.
    """
    finish: Judgement = field(default=Judgement())
    """As `fix`; it then writes all lines behind that one, too."""
    justify: Judgement = field(default=Judgement(false_accept=1.0))
    """Share of given wrong answers that it argues for, and of given right answers that it argues against.

    It argues for the right answer in place of all other wrong ones."""
    critique: Judgement = field(default=Judgement())
    """Share of flawed explanations without, and of right explanations with a criticised step."""
    revise: Judgement = field(default=Judgement())
    """Share of criticised explanations that it leaves as they are, and of the others that it makes wrong."""
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
    def judgements(self) -> Mapping[str, Judgement]:
        """Role -> how often it judges wrongly in it."""
        return {
            VERIFY: self.verify,
            FIX: self.fix,
            FINISH: self.finish,
            JUSTIFY: self.justify,
            CRITIQUE: self.critique,
            REVISE: self.revise,
        }

    @property
    def capabilities(self) -> Capabilities:
        """It answers in text."""
        return Capabilities(thinking=self.thinking)

    @property
    def roles(self) -> Collection[str]:
        """The roles of the prompts that it understands."""
        return ("few_shot_cot", RATIONALISE, *READING_ROLES)

    def open(self, dataset: Dataset) -> Simulation:
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
        return Simulation(self, answer_key(dataset))

    def fingerprint(self, dataset: Dataset) -> str:
        """Empty: its replies follow from its settings and the dataset's rows."""
        return ""


@dataclass(frozen=True)
class Simulation:
    """A simulated teacher that is ready to answer."""

    teacher: SimulatedTeacher
    key: AnswerKey

    def covers(self, question_id: str) -> bool:
        """Whether the question is in the dataset."""
        return self.key.covers(question_id)

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """What the request will be charged exactly: it writes the replies to count their tokens.

        In roles that read what others wrote it is the most that a reply can have.
        """
        prompt = estimated_tokens(request.request.prompt) + TOKENS_PER_HELD_TOKEN * held_tokens
        written = sum(self._most_tokens(request.request, sample) for sample in range(request.samples))
        return Usage(request.samples, request.samples * prompt, written)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """The replies with these numbers; equal requests get equal ones."""
        refuse_without_probabilities(self.teacher.name, request)
        return [self.one(request, sample) for sample in range(first, first + samples)]

    def one(self, request: Request, sample: int) -> Reply:
        """One reply with estimated token counts; its finish is `not_asked` if the prompt lacks what the role needs."""
        question = self.key.questions[request.question_id][1]
        write = self._read_and_write if request.role in READING_ROLES else self._chain
        with gold_opened():  # it stands for a model, which has no gold: only its simulation solves the question
            written = write(request, sample)
            if written is not None:
                return with_estimated_tokens(request, self._with_trace(written, question, sample))
        return with_estimated_tokens(request, Reply("", finish="not_asked"))

    def _most_tokens(self, request: Request, sample: int) -> int:
        if request.role not in READING_ROLES:
            return self.one(request, sample).completion_tokens
        question = self.key.questions[request.question_id][1]
        return self._cap(request, question) + estimated_tokens(self._with_trace(Reply(""), question, sample).text)

    def _cap(self, request: Request, question: Question) -> int:
        """The most tokens of a reply, without its trace, in a role that reads."""
        rationale, answer = self.key.solve(question)
        own = 2 * estimated_tokens(f"{rationale} {clause(answer)}") + TOKENS_TO_SPARE
        return own if request.max_new_tokens is None else min(own, request.max_new_tokens)

    def _read_and_write(self, request: Request, sample: int) -> Reply | None:
        """The reply in a role that reads, without its trace."""
        shown, question = self.key.questions[request.question_id]
        part = asked_part(request, shown, question)
        task = None if part is None else assignment_in(request, question, part)
        if task is None:
            return None
        chance = random.Random(
            stream_seed("simulated_reading", self.teacher.seed, question.id, task.role, repr(task.texts), sample)
        )
        text = Player(self.key, self.teacher.judgements).text(task, chance)
        if text is None:
            return None
        if chance.random() < self.teacher.empty_rate:
            text = ""
        kept = text.encode()[: BYTES_PER_TOKEN * self._cap(request, question)].decode(errors="ignore")
        return Reply(kept, finish="stop" if kept == text else "length")

    def solution(self, question: Question, sample: int) -> tuple[str, str, float]:
        """(rationale, answer, reported confidence) of one sample, as in a reply to a few-shot prompt."""
        return self._solution(question, random.Random(stream_seed("simulated", self.teacher.seed, question.id, sample)))

    def _chain(self, request: Request, sample: int) -> Reply | None:
        """The reply to a few-shot prompt or a given answer, without its trace."""
        shown, question = self.key.questions[request.question_id]
        if shown not in request.prompt.rpartition("Q: ")[2]:
            return None
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
        return Reply(text, confidence=confidence)

    def _with_trace(self, reply: Reply, question: Question, sample: int) -> Reply:
        """The reply behind its trace, if it has one. Traces have random numbers of their own and move no others."""
        teacher = self.teacher
        chance = random.Random(stream_seed("simulated_trace", teacher.seed, question.id, sample))
        drawn = chance.random()
        if drawn >= teacher.unclosed_trace_rate + teacher.trace_rate:
            return reply
        begun = f"{OPENING}{self.key.dataset.think(question, chance)}"
        if drawn < teacher.unclosed_trace_rate:
            return replace(reply, text=begun, finish="length")
        return replace(reply, text=f"{begun}{CLOSING}{reply.text}")

    def _solution(self, question: Question, chance: random.Random) -> tuple[str, str, float]:
        """(rationale, answer, reported confidence) of one reply."""
        teacher = self.teacher
        error_rate = teacher.wrong_step_rate + teacher.wrong_answer_rate
        right = beta(1 - error_rate, teacher.confidence_concentration, chance)
        rationale, answer = self.key.solve(question)
        if chance.random() >= right:
            wrong_rationale, wrong_answer = self.key.solve_wrongly(question, chance)
            answer = wrong_answer
            if chance.random() * error_rate < teacher.wrong_step_rate:
                rationale = wrong_rationale
        return rationale, answer, sharpened(right, teacher.overconfidence)


def _answer_clause(prompt: str) -> str:
    """The words that the exemplars put before their answers; without exemplars, other words."""
    found = cast(list[str], _EXEMPLAR_CLAUSE.findall(prompt))
    return found[-1] if found else "I would say it is"


def beta(mean: float, concentration: float, chance: random.Random) -> float:
    """A number drawn from the beta distribution with this mean and concentration; the mean itself at 0 and 1."""
    if mean in (0.0, 1.0):
        return mean
    return chance.betavariate(mean * concentration, (1 - mean) * concentration)


def sharpened(probability: float, factor: float) -> float:
    """The probability after its log-odds were multiplied by the factor."""
    if probability in (0.0, 1.0):
        return probability
    log_odds = factor * math.log(probability / (1 - probability))
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0
