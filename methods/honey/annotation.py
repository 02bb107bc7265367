"""How Honey's training data is made.

The teacher explains the gold answer, criticises its explanation and revises it (`CritiqueRevision`), or argues for
every choice, the wrong ones too (`Counterfactual`). Exemplars, adjectives and requests lie in `prompts/annotation/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from benchmark.contract import AskModels, Context, PlanContext, Requirements
from benchmark.teachers.prompts import folder_of, read_data
from benchmark.teachers.replies import ANSWER_CLAUSE
from benchmark.types import Annotation, Exchange, Json, Pick, PlannedRequest, Question, Request

CRITIQUE_EXEMPLARS, REVISION_EXEMPLARS = 6, 4
"""How many of the seven exemplars a critique's prompt shows, and a revision's prompt."""
Place = Literal["reply", "prompt"]
"""Where the given answer is written: as the beginning of the reply, or at the end of the prompt."""


def exemplars() -> Sequence[Mapping[str, Any]]:
    """The seven worked examples, in the order in which explanations show them."""
    found: Sequence[Mapping[str, Any]] = read_data(folder_of(__file__) / "exemplars.yaml")
    return found


def phrases() -> Mapping[str, Any]:
    """The adjectives, the pairs of critique and revision request, and the pair that the exemplars show."""
    found: Mapping[str, Any] = read_data(folder_of(__file__) / "phrases.yaml")
    return found


# --- what is drawn per question, the same for all seeds --------------------------------------------------------------


def drawn_adjectives(question: Question, context: PlanContext) -> list[str]:
    """Two different adjectives; all prompts for explanations of the question contain them."""
    adjectives = phrases()["adjectives"]
    numbers = context.data_rng("adjectives", question.id).choice(len(adjectives), 2, replace=False)
    return [adjectives[number] for number in numbers]


def drawn_pair(question: Question, context: PlanContext, turn: int) -> int:
    """The index in `phrases()["requests"]` of the pair that asks for a round's critique and for its revision."""
    return int(context.data_rng("requests", question.id, turn).integers(len(phrases()["requests"])))


def drawn_exemplars(count: int, role: str, question: Question, context: PlanContext, turn: int) -> Json:
    """`count` different exemplars, in random order."""
    known = exemplars()
    return [known[i] for i in context.data_rng(role, question.id, turn).choice(len(known), count, replace=False)]


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Manner:
    """How the teacher is asked for any text, and how its replies are cut."""

    temperature: float
    begin_in: Place
    first_line_only: bool

    def justification(self, question: Question, answer: str, context: PlanContext, cap: int) -> Request:
        """The request with all exemplars and the question; its reply begins with the answer to argue for."""
        request = context.prompt(
            "justify",
            question,
            self.temperature,
            examples=exemplars(),
            adjectives=drawn_adjectives(question, context),
        )
        return self.begun(replace(request, max_new_tokens=cap, cap_is_final=True), answer)

    def begun(self, request: Request, answer: str) -> Request:
        """The request with the answer as the beginning of its reply, or at the end of its prompt."""
        begun = f" {ANSWER_CLAUSE} {answer}."
        if self.begin_in == "prompt":
            return replace(request, prompt=request.prompt + begun)
        return replace(request, prefix=begun)

    def text(self, exchange: Exchange) -> str:
        """The reply's text that is kept: all of it, or only its first line."""
        text = exchange.reply.text.strip()
        return text.partition("\n")[0].rstrip() if self.first_line_only else text


async def _exchange(who: str, request: Request, ask: AskModels) -> Exchange:
    [reply] = await ask(who, request)
    return Exchange(who, request, reply)


async def _all_exchanges(who: str, requests: Sequence[Request], ask: AskModels) -> list[Exchange]:
    """All exchanges, in order. Waits for all replies, which are paid for, before it raises the first error."""
    found = await asyncio.gather(*(_exchange(who, each, ask) for each in requests), return_exceptions=True)
    exchanges: list[Exchange] = []
    for each in found:
        if isinstance(each, BaseException):
            raise each
        exchanges.append(each)
    return exchanges


def _refuse_impossible(temperature: float, **caps: int) -> None:
    if temperature < 0:
        raise ValueError(f"temperature={temperature} is below 0")
    for name, cap in caps.items():
        if cap < 1:
            raise ValueError(f"{name}={cap} leaves no room for a reply")


# --- annotators ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CritiqueRevision:
    """The teacher explains the gold answer, criticises its explanation and revises it. No annotation is filtered out.

    The caps in tokens are part of the method: a text that they cut is kept as it is.
    """

    rounds: int = 1
    """How many times an explanation is criticised and revised."""
    prefill_revision: bool = True
    """Whether a revision begins with the gold answer."""
    first_line_only: bool = True
    """Whether only the first line of every reply is kept."""
    begin_in: Place = "reply"
    """Where the answer that begins a text is written, in the reply or at the end of the prompt."""
    temperature: float = 0.0
    """The sampling temperature; 0 is greedy."""
    explanation_tokens: int = 160
    """The most tokens of an explanation."""
    critique_tokens: int = 300
    """The most tokens of a critique."""
    revision_tokens: int = 300
    """The most tokens of a revision."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale", "unrevised"})
    """The last revision is a `rationale`, the first explanation is `unrevised`."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds} revises nothing; for explanations alone choose rationalise")
        _refuse_impossible(
            self.temperature,
            explanation_tokens=self.explanation_tokens,
            critique_tokens=self.critique_tokens,
            revision_tokens=self.revision_tokens,
        )

    @property
    def _manner(self) -> _Manner:
        return _Manner(self.temperature, self.begin_in, self.first_line_only)

    def requires(self) -> Requirements:
        """Gold answers, choices, and a teacher that takes the three prompts."""
        return Requirements(gold=True, choices=True, teacher_roles=frozenset({"justify", "critique", "revise"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """The explanation, then a critique and a revision per round.

        The prompt of a critique holds the explanation or revision before it; the prompt of a revision holds the same
        text and the critique.
        """
        teacher, before = context.teachers[0], self._explanation(question, context)
        requests = [PlannedRequest(teacher, before)]
        for turn in range(self.rounds):
            critique = self._critique(question, context, turn, "")
            revision = self._revision(question, context, turn, "", "")
            requests += [
                PlannedRequest(teacher, critique, holds=(before,)),
                PlannedRequest(teacher, revision, holds=(before, critique)),
            ]
            before = revision
        return requests

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """The first explanation as `unrevised` and the last revision as `rationale`, with the critiques as evidence."""
        question, teacher, text = pick.question, context.teachers[0], self._manner.text
        first = await _exchange(teacher, self._explanation(question, context), ask)
        exchanges, turns, explanation = [first], [], text(first)
        for turn in range(self.rounds):
            critique = await _exchange(teacher, self._critique(question, context, turn, explanation), ask)
            request = self._revision(question, context, turn, explanation, text(critique))
            revision = await _exchange(teacher, request, ask)
            exchanges += [critique, revision]
            turns.append({"request_pair": drawn_pair(question, context, turn), "critique": text(critique)})
            explanation = text(revision)
        unrevised = Annotation(
            question=question,
            kind="unrevised",
            source=teacher,
            rationale=text(first) or None,
            answer=context.gold(question).answer,
            evidence={
                **pick.evidence,
                "gold_given": True,
                "adjectives": drawn_adjectives(question, context),
                "finish": first.reply.finish,
            },
            exchanges=(first,),
        )
        revised = replace(
            unrevised,
            kind="rationale",
            rationale=explanation or None,
            evidence={**unrevised.evidence, "finish": exchanges[-1].reply.finish, "rounds": turns},
            exchanges=tuple(exchanges),
        )
        return [unrevised, revised]

    def _explanation(self, question: Question, context: PlanContext) -> Request:
        gold = context.gold(question).answer
        return self._manner.justification(question, gold, context, self.explanation_tokens)

    def _critique(self, question: Question, context: PlanContext, turn: int, explanation: str) -> Request:
        request = context.prompt(
            "critique",
            question,
            self.temperature,
            examples=drawn_exemplars(CRITIQUE_EXEMPLARS, "critique", question, context, turn),
            gold=context.gold(question).answer,
            explanation=explanation,
            request=phrases()["requests"][drawn_pair(question, context, turn)]["critique"],
            exemplar_request=phrases()["exemplar_request"]["critique"],
        )
        return replace(request, max_new_tokens=self.critique_tokens, cap_is_final=True)

    def _revision(
        self, question: Question, context: PlanContext, turn: int, explanation: str, critique: str
    ) -> Request:
        """It uses the revision request of the critique's pair."""
        gold = context.gold(question).answer
        request = context.prompt(
            "revise",
            question,
            self.temperature,
            examples=drawn_exemplars(REVISION_EXEMPLARS, "revise", question, context, turn),
            gold=gold,
            explanation=explanation,
            critique=critique,
            request=phrases()["requests"][drawn_pair(question, context, turn)]["revision"],
            exemplar_request=phrases()["exemplar_request"]["revision"],
            answer_first=self.prefill_revision,
        )
        request = replace(request, max_new_tokens=self.revision_tokens, cap_is_final=True)
        return self._manner.begun(request, gold) if self.prefill_revision else request


@dataclass(frozen=True)
class Counterfactual:
    """The teacher explains every choice as if it were the answer.

    The explanation of the gold answer has the kind `rationale`, all others have the kind `counterfactual`. The format
    decides which wrong choices the student learns from.
    """

    choices: Literal["all", "wrong"] = "all"
    """Whether all choices are explained, or only the wrong ones."""
    first_line_only: bool = True
    """Whether only the first line of every reply is kept."""
    begin_in: Place = "reply"
    """Where the answer that begins a text is written, in the reply or at the end of the prompt."""
    temperature: float = 0.0
    """The sampling temperature; 0 is greedy."""
    max_new_tokens: int = 512
    """The most tokens of an explanation. The cap is part of the method: a text that it cuts is kept as it is."""

    def __post_init__(self) -> None:
        _refuse_impossible(self.temperature, max_new_tokens=self.max_new_tokens)

    @property
    def _manner(self) -> _Manner:
        return _Manner(self.temperature, self.begin_in, self.first_line_only)

    @property
    def kinds(self) -> frozenset[str]:
        """`counterfactual`, and `rationale` if the gold answer is explained too."""
        return frozenset({"counterfactual"} | ({"rationale"} if self.choices == "all" else set()))

    def requires(self) -> Requirements:
        """Gold answers (which choice is right), choices, and a teacher that takes the prompt."""
        return Requirements(gold=True, choices=True, teacher_roles=frozenset({"justify"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request per choice."""
        requests = self._requests(question, context)
        return [PlannedRequest(context.teachers[0], request) for request in requests.values()]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One annotation per choice; its answer is that choice, and `sample` is the choice's index."""
        question, teacher, gold = pick.question, context.teachers[0], context.gold(pick.question).answer
        requests = self._requests(question, context)
        exchanges = await _all_exchanges(teacher, list(requests.values()), ask)
        return [
            Annotation(
                question=question,
                kind="rationale" if choice == gold else "counterfactual",
                source=teacher,
                rationale=self._manner.text(exchange) or None,
                answer=choice,
                sample=(question.choices or ()).index(choice),
                evidence={
                    **pick.evidence,
                    "adjectives": drawn_adjectives(question, context),
                    **({"gold_given": True} if choice == gold else {}),
                    "finish": exchange.reply.finish,
                },
                exchanges=(exchange,),
            )
            for choice, exchange in zip(requests, exchanges, strict=True)
        ]

    def _requests(self, question: Question, context: PlanContext) -> Mapping[str, Request]:
        """Choice -> request to argue for it; a choice that occurs twice is asked about once."""
        gold = context.gold(question).answer
        return {
            choice: self._manner.justification(question, choice, context, self.max_new_tokens)
            for choice in question.choices or ()
            if self.choices == "all" or choice != gold
        }
