"""ELAD's revision: the teacher checks the student's own explanation and replaces it from its first flaw on."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, TypeVar

from benchmark.axes.annotation import FewShotCot
from benchmark.contract import STUDENT, AskModels, Context, PlanContext, Requirements
from benchmark.teachers.replies import ANSWER_CLAUSE, own_words, split_answer
from benchmark.types import Annotation, Exchange, Json, Pick, PlannedRequest, Question, Reply, Request, Weight

EXPLAIN = "rationale_and_answer"
Found = TypeVar("Found")
_ENDS = re.compile(r"^[\s;]+|[\s;]+$")
_GAP = re.compile(r"^[\s;]*")
_FLAW = re.compile(r"\bStep (\d+) is (?:wrong|missing|one too many)\b")
_NO_FLAW = "Every step is right"


class _UnreadError(Exception):
    """The teacher's reply could not be read, even after it was asked once more."""


@dataclass
class _Talk:
    """The conversation about one question, written down as it goes."""

    question: Question
    context: Context
    ask: AskModels
    exchanges: list[Exchange] = field(default_factory=list)
    """What was said so far."""
    unread: int = 0
    """Replies that could not be read. One is asked for again; a second one ends the conversation."""

    async def teacher(self, role: str, read: Callable[[str], Found | None], **variables: Json) -> Found:
        """What was read in the teacher's reply. Raises _UnreadError if it cannot be read and was asked for again."""
        again = False
        while self.unread < 2:
            request = self.context.prompt(role, self.question, again=again, **variables)
            reply = await self._say(self.context.teachers[0], request)
            if (found := read(own_words(reply, request))) is not None:
                return found
            self.unread += 1
            again = True
        raise _UnreadError(role)

    async def student(self, begun: str) -> str:
        """What the student makes of a begun explanation, the beginning included."""
        request = self.context.format.request(self.question, EXPLAIN, self.context.task, begun)
        return begun + (await self._say(STUDENT, request)).text

    async def _say(self, who: str, request: Request) -> Reply:
        [reply] = await self.ask(who, request)
        self.exchanges.append(Exchange(who, request, reply))
        return reply


@dataclass(frozen=True)
class _Revised:
    """An explanation after its revision."""

    steps: Sequence[str]
    """Its steps, each with the gap before it."""
    stated: str | None
    """The text of its answer."""
    flaws: Sequence[int]
    """The positions, from 0, at which the teacher found a flaw; empty for an approved explanation."""
    written: int
    """Steps that the student wrote."""
    survived: int
    """Steps of the student that the teacher accepted."""


Revise = Callable[[_Talk, str], Awaitable[_Revised]]


async def _annotated(pick: Pick, context: Context, ask: AskModels, revise: Revise) -> Sequence[Annotation]:
    """One `rationale`: the revised explanation, or the teacher's own where its replies could not be read."""
    talk = _Talk(pick.question, context, ask)
    explanations = pick.evidence.get("explanations")
    said = explanations[0] if explanations else await talk.student("")
    evidence = {**pick.evidence, "said": said}
    try:
        revised = await revise(talk, said)
    except _UnreadError:
        context.note(unread_replies=talk.unread, from_scratch=1)
        [row] = await FewShotCot().annotate(pick, context, ask)
        own = {**row.evidence, **evidence, "from_scratch": True}
        return [replace(row, evidence=own, exchanges=(*talk.exchanges, *row.exchanges))]
    context.note(
        checked=1,
        flawed=int(bool(revised.flaws)),
        flaw_index_sum=revised.flaws[0] if revised.flaws else 0,
        written=revised.written,
        survived=revised.survived,
        unread_replies=talk.unread,
    )
    answer = None if revised.stated is None else context.task.parse(pick.question, revised.stated)
    return [
        Annotation(
            question=pick.question,
            kind="rationale",
            source=context.teachers[0] if revised.flaws else STUDENT,
            rationale=context.task.join(revised.steps),
            answer=answer,
            evidence={**evidence, "flaws": list(revised.flaws), "kept_steps": revised.survived},
            exchanges=tuple(talk.exchanges),
        )
    ]


@dataclass(frozen=True)
class StepwiseRevision:
    """The teacher accepts steps one by one, replaces the first flawed one, and writes the rest.

    Accepted steps stay as the student wrote them, which makes the explanation its own. With `patches`, the teacher
    replaces a flawed step alone, and the student goes on from there, up to that often.
    """

    patches: int = 0
    """How many flawed steps the teacher replaces one by one before it writes the rest itself."""
    most_steps: int = 8
    """A step behind so many accepted ones counts as a flaw without being asked about."""
    separator: str = ";"
    """The text between two steps where the student's own text shows none."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    def __post_init__(self) -> None:
        if self.patches < 0 or self.most_steps < 1:
            raise ValueError(f"patches={self.patches} must be at least 0, most_steps={self.most_steps} at least 1")

    def requires(self) -> Requirements:
        """A teacher that judges and writes on, and a student that explains."""
        roles = frozenset({"verify", "finish"} | ({"fix"} if self.patches else set()))
        scratch = FewShotCot().requires()
        return Requirements(teacher_roles=roles, student_roles=frozenset({EXPLAIN})) | scratch

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """All steps and the answer judged, every patch, the rest, one reply asked for again, and a fresh start."""
        verify = context.prompt("verify", question, accepted="", line="", again=True)
        fix, finish = (
            context.prompt(role, question, accepted="", rejected="", reason="", again=True)
            for role in ("fix", "finish")
        )
        said = Request(EXPLAIN, "", question.id)  # the student's own, up to its cap
        holds = (*[said] * (self.patches + 1), *[fix] * self.patches, verify)
        # A patch takes the place of an accepted step, so that it adds no question beyond the most steps and the answer.
        certain = [*[verify] * (self.most_steps + 1), *[fix] * self.patches, finish]
        again = {"verify": verify, "finish": finish, **({"fix": fix} if self.patches else {})}
        teacher = context.teachers[0]
        return [
            *(PlannedRequest(teacher, request, 1, holds) for request in certain),
            *(PlannedRequest(teacher, request, 1, holds, f"again/{role}") for role, request in again.items()),
            *FewShotCot().most_requests(question, context),
        ]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale`; its source is the student where the teacher found nothing to change."""
        return await _annotated(pick, context, ask, self._revise)

    async def _revise(self, talk: _Talk, text: str) -> _Revised:
        task, form = talk.context.task, talk.context.format
        kept: list[str] = []
        flaws: list[int] = []
        written, survived = 0, 0
        while True:
            why, stated = form.read(text)
            new = task.steps(why[len(task.join(kept)) :])
            before, written = len(kept), written + len(new)
            rejected, reason = await self._first_flaw(new, stated, kept, talk)
            survived += len(kept) - before
            if rejected is None:
                return _Revised(kept, stated, flaws, written, survived)
            flaws.append(len(kept))
            role = "fix" if len(flaws) <= self.patches else "finish"
            read = _lines if role == "fix" else partial(_solution, needs_steps=not kept)
            of_teacher, concluded = await talk.teacher(
                role, read, accepted=task.join(kept), rejected=_bare(rejected), reason=reason
            )
            kept = _continued(kept, task.steps(of_teacher), _gap(rejected) or self.separator)
            if concluded is not None or role == "finish":
                return _Revised(kept, concluded, flaws, written, survived)
            text = await talk.student(task.join(kept))

    async def _first_flaw(
        self, new: Sequence[str], stated: str, kept: list[str], talk: _Talk
    ) -> tuple[str | None, str]:
        """(the first new step, or the answer, that the teacher rejects; why); what it accepts is added to `kept`."""
        for step in new:
            if len(kept) >= self.most_steps:
                return step, ""
            accepted, reason = await self._verdict(_bare(step), kept, talk)
            if not accepted:
                return step, reason
            kept.append(step)
        conclusion = f"{ANSWER_CLAUSE} {stated.strip()}."
        accepted, reason = await self._verdict(conclusion, kept, talk)
        return (None, "") if accepted else (conclusion, reason)

    async def _verdict(self, line: str, kept: Sequence[str], talk: _Talk) -> tuple[bool, str]:
        return await talk.teacher("verify", _verdict, accepted=talk.context.task.join(kept), line=line)


@dataclass(frozen=True)
class SingleCallRevision:
    """The teacher reads the whole explanation once: it names the first flaw and writes all steps from there on."""

    separator: str = ";"
    """The text between two steps where the student's own text shows none."""
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale"})

    def requires(self) -> Requirements:
        """A teacher that corrects, and a student that explains."""
        roles = Requirements(teacher_roles=frozenset({"correct"}), student_roles=frozenset({EXPLAIN}))
        return roles | FewShotCot().requires()

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """One request, the same asked again, and a fresh start."""
        correct = context.prompt("correct", question, explanation="", answer="", again=True)
        said = (Request(EXPLAIN, "", question.id),)
        twice = [PlannedRequest(context.teachers[0], correct, 1, said)] * 2
        return [*twice, *FewShotCot().most_requests(question, context)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """One `rationale`; its source is the student where the teacher found nothing to change."""
        return await _annotated(pick, context, ask, self._revise)

    async def _revise(self, talk: _Talk, text: str) -> _Revised:
        task = talk.context.task
        why, stated = talk.context.format.read(text)
        steps = task.steps(why)
        flaw, rest, concluded = await talk.teacher(
            "correct", _correction, explanation=why.strip(), answer=stated.strip()
        )
        if flaw is None:
            return _Revised(steps, stated, (), len(steps), len(steps))
        kept = steps[:flaw]
        gap = _gap(steps[flaw]) if flaw < len(steps) else ""
        revised = _continued(kept, task.steps(rest), gap or self.separator)
        return _Revised(revised, concluded, (len(kept),), len(steps), len(kept))


@dataclass(frozen=True)
class DropApproved:
    """Explanations in which the teacher found no flaw, and which the student so wrote itself, are not trained on."""

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """Weight 0 for every new annotation whose source is the student."""
        return {row.id: Weight(0.0, "approved without a change") for row in new if row.source == STUDENT}


# --- how replies are read --------------------------------------------------------------------------------------------


def _verdict(text: str) -> tuple[bool, str] | None:
    """(whether the line is accepted, why); None if the reply begins with neither yes nor no."""
    word, _, reason = text.strip().lstrip("*_ ").partition("\n")[0].partition(" ")
    known = {"yes": True, "no": False}.get(word.strip("*_.,:;!").lower())
    return None if known is None else (known, reason.strip())


def _lines(text: str) -> tuple[str, str | None] | None:
    """(the steps of a reply, the answer that it states or None); None for a reply without any of them."""
    steps, stated = split_answer(text)
    return None if not steps and stated is None else (_bare(steps or ""), stated)


def _solution(text: str, needs_steps: bool = False) -> tuple[str, str | None] | None:
    """The same, for a reply that must state an answer, and steps too where none is kept: an answer explains nothing."""
    found = _lines(text)
    return None if found is None or found[1] is None or (needs_steps and not found[0]) else found


def _correction(text: str) -> tuple[int | None, str, str | None] | None:
    """(the position of the first flaw or None, the steps from there on, the answer); None for another form."""
    head, _, rest = text.strip().partition("\n")
    if _NO_FLAW in head:
        return None, "", None
    flaw = _FLAW.search(head)
    if flaw is None:
        return None
    position = max(0, int(flaw[1]) - 1)
    solution = _solution(f"{head[flaw.end() :].lstrip('. ')}\n{rest}", needs_steps=position == 0)
    return None if solution is None else (position, *solution)


def _bare(step: str) -> str:
    """A step without the gaps around it."""
    return _ENDS.sub("", step)


def _gap(step: str) -> str:
    """What separates a step from the one before."""
    found = _GAP.match(step)
    return found[0] if found else ""


def _continued(kept: Sequence[str], steps: Sequence[str], gap: str) -> list[str]:
    """The kept steps with the teacher's behind them, and a gap between. A full stop before a semicolon goes."""
    if not kept or not steps:
        return [*kept, *steps]
    last = kept[-1].removesuffix(".") if gap.startswith(";") else kept[-1]
    return [*kept[:-1], last, gap + steps[0], *steps[1:]]
