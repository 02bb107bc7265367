"""Honey, I Shrunk the Language Model (Hendriks et al., 2025, arXiv 2504.16056): how its training data is made.

The teacher explains the gold answer, criticises its explanation and revises it (`CritiqueRevision`), or argues for
every choice, the wrong ones too (`Counterfactual`). Exemplars, adjectives and requests lie in `methods/prompts/honey/`.
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
"""How many of the seven stand before a critique and before a revision."""
Place = Literal["reply", "prompt"]


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
    """Two different adjectives; every explanation of the question is asked for with them."""
    adjectives = phrases()["adjectives"]
    numbers = context.data_rng("adjectives", question.id).choice(len(adjectives), 2, replace=False)
    return [adjectives[number] for number in numbers]


def drawn_pair(question: Question, context: PlanContext, turn: int) -> int:
    """The number of the pair of requests that a round's critique and its revision are asked with."""
    return int(context.data_rng("requests", question.id, turn).integers(len(phrases()["requests"])))


def drawn_exemplars(count: int, role: str, question: Question, context: PlanContext, turn: int) -> Json:
    """That many different exemplars, in random order."""
    known = exemplars()
    return [known[i] for i in context.data_rng(role, question.id, turn).choice(len(known), count, replace=False)]


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Manner:
    """How the teacher is asked, whatever for, and how its replies are cut."""

    temperature: float
    begin_in: Place
    first_line_only: bool

    def justification(self, question: Question, answer: str, context: PlanContext, cap: int) -> Request:
        """All exemplars and the question; the reply has begun with the answer to argue for."""
        request = context.prompt(
            "justify",
            question,
            self.temperature,
            examples=exemplars(),
            adjectives=drawn_adjectives(question, context),
        )
        return self.begun(replace(request, max_new_tokens=cap, cap_is_final=True), answer)

    def begun(self, request: Request, answer: str) -> Request:
        """The request with a reply that has begun with an answer, or else a prompt that ends so."""
        begun = f" {ANSWER_CLAUSE} {answer}."
        if self.begin_in == "prompt":
            return replace(request, prompt=request.prompt + begun)
        return replace(request, prefix=begun)

    def text(self, exchange: Exchange) -> str:
        """What counts of a reply."""
        text = exchange.reply.text.strip()
        return text.partition("\n")[0].rstrip() if self.first_line_only else text


async def _exchange(who: str, request: Request, ask: AskModels) -> Exchange:
    [reply] = await ask(who, request)
    return Exchange(who, request, reply)


async def _all_exchanges(who: str, requests: Sequence[Request], ask: AskModels) -> list[Exchange]:
    """In order. Raises the first error once all have come back, since what is under way is paid for."""
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
    """Explain the gold answer, criticise the explanation, revise it. Nothing is filtered.

    The caps are part of the recipe: a text that they cut is kept as it is.
    """

    rounds: int = 1
    prefill_revision: bool = True
    first_line_only: bool = True
    begin_in: Place = "reply"
    temperature: float = 0.0
    explanation_tokens: int = 160
    critique_tokens: int = 300
    revision_tokens: int = 300
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale", "unrevised"})

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
        """The explanation; then every critique holds the text before it, every revision that text and the critique."""
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
        """The request is the other half of the critique's pair."""
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
    """An explanation for every choice, as if each were the answer.

    That of the gold answer is a `rationale`, the others are `counterfactual`; which wrong one is learned from is for
    the format to say. The cap is part of the recipe.
    """

    choices: Literal["all", "wrong"] = "all"
    first_line_only: bool = True
    begin_in: Place = "reply"
    temperature: float = 0.0
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        _refuse_impossible(self.temperature, max_new_tokens=self.max_new_tokens)

    @property
    def _manner(self) -> _Manner:
        return _Manner(self.temperature, self.begin_in, self.first_line_only)

    @property
    def kinds(self) -> frozenset[str]:
        """`counterfactual`, and `rationale` where the gold answer is explained too."""
        return frozenset({"counterfactual"} | ({"rationale"} if self.choices == "all" else set()))

    def requires(self) -> Requirements:
        """Gold answers, to tell the right choice from the others; choices; a teacher that takes the prompt."""
        return Requirements(gold=True, choices=True, teacher_roles=frozenset({"justify"}))

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request a choice."""
        requests = self._requests(question, context)
        return [PlannedRequest(context.teachers[0], request) for request in requests.values()]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One annotation a choice, whose answer is the choice that it argues for; `sample` counts the choices."""
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
        """By the choice to argue for; a choice that stands there twice is asked about once."""
        gold = context.gold(question).answer
        return {
            choice: self._manner.justification(question, choice, context, self.max_new_tokens)
            for choice in question.choices or ()
            if self.choices == "all" or choice != gold
        }
