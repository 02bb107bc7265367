"""Learning from Committee (FAIR; Li et al., Findings of ACL 2025): teachers mark each other and explain mistakes.

The student sits an exam on every question. Three teachers each write a rationale, which the other two mark from 1 to 5,
and, where the student was wrong, an explanation of its mistake. As in the paper, reviewers see the gold answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import STUDENT, AskModels, Context, DataRng, PlanContext, Requirements, Task
from benchmark.teachers.replies import split_answer
from benchmark.types import (
    Annotation,
    Exchange,
    Json,
    Pick,
    PlannedRequest,
    Question,
    Request,
    Span,
    Term,
    TrainingExample,
    Weight,
)

EXPLAIN = "rationale_and_answer"
_MARK = re.compile(r"mark: ([1-5])\b", re.IGNORECASE)


def mark_in(text: str) -> int | None:
    """The mark that a review gives; None where it gives none that is valid."""
    found = _MARK.search(text)
    return int(found[1]) if found else None


@dataclass(frozen=True)
class Committee:
    """`rationale` annotations with the others' marks in their evidence, and `feedback` on the student's mistakes."""

    size: int = 3
    kinds: ClassVar[frozenset[str]] = frozenset({"rationale", "feedback"})

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"size={self.size} leaves nobody to mark a rationale")

    def requires(self) -> Requirements:
        """Gold answers for exam and reviewers, a panel of teachers, and a student that explains."""
        return Requirements(
            gold=True,
            teacher_roles=frozenset({"few_shot_cot", "review", "feedback"}),
            student_roles=frozenset({EXPLAIN}),
            teachers=self.size,
        )

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        """Everybody writes, marks all others and explains a mistake."""
        teachers, gold = context.teachers[: self.size], context.gold(question).answer
        written = context.prompt("few_shot_cot", question)
        review = context.prompt("review", question, rationale="", gold=gold)
        feedback = context.prompt("feedback", question, sheet="", gold=gold)
        sheet = Request(EXPLAIN, "", question.id)  # the student's own, up to its cap
        return [
            *(PlannedRequest(author, written) for author in teachers),
            *(PlannedRequest(reviewer, review, 1, (written,)) for reviewer in teachers for _ in teachers[1:]),
            *(PlannedRequest(author, feedback, 1, (sheet,)) for author in teachers),
        ]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        """A rationale by every teacher, and a feedback by every teacher where the student was wrong."""
        question, teachers = pick.question, context.teachers[: self.size]
        exam = await _exchange(STUDENT, context.format.request(question, EXPLAIN, context.task), ask)
        said = context.task.parse(question, context.format.read(exam.reply.text)[1])
        passed = context.task.is_correct(context.gold(question), said)
        rows = await asyncio.gather(*(self._rationale(teacher, pick, context, ask) for teacher in teachers))
        if passed:
            return rows
        feedback = await asyncio.gather(*(self._feedback(teacher, exam, pick, context, ask) for teacher in teachers))
        return [*rows, *feedback]

    async def _rationale(self, author: str, pick: Pick, context: Context, ask: AskModels) -> Annotation:
        question = pick.question
        written = await _exchange(author, context.prompt("few_shot_cot", question), ask)
        rationale, answer = split_answer(written.reply.text)
        review = context.prompt("review", question, rationale=rationale or "", gold=context.gold(question).answer)
        reviewers = [teacher for teacher in context.teachers[: self.size] if teacher != author]
        reviews = await asyncio.gather(*(_exchange(reviewer, review, ask) for reviewer in reviewers))
        marks: dict[str, Json] = {of.source: mark_in(of.reply.text) for of in reviews}
        return Annotation(
            question=question,
            kind="rationale",
            source=author,
            rationale=rationale,
            answer=None if answer is None else context.task.parse(question, answer),
            evidence={**pick.evidence, "marks": marks},
            exchanges=(written, *reviews),
        )

    async def _feedback(self, author: str, exam: Exchange, pick: Pick, context: Context, ask: AskModels) -> Annotation:
        question, sheet = pick.question, exam.reply.text
        request = context.prompt("feedback", question, sheet=sheet, gold=context.gold(question).answer)
        written = await _exchange(author, request, ask)
        return Annotation(
            question=question,
            kind="feedback",
            source=author,
            rationale=written.reply.text.strip() or None,
            answer=None,
            evidence={**pick.evidence, "sheet": sheet},
            exchanges=(exam, written),
        )


async def _exchange(who: str, request: Request, ask: AskModels) -> Exchange:
    [reply] = await ask(who, request)
    return Exchange(who, request, reply)


@dataclass(frozen=True)
class AcceptedByPeers:
    """Keeps a rationale whose mean valid mark is above the threshold, and all feedback."""

    above: float = 3.0

    def requires(self) -> Requirements:
        """Rationales that were marked, which come together with feedback."""
        return Requirements(annotation_kinds=frozenset({"rationale", "feedback"}))

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        """1 or 0 for every new rationale, with its marks as the reason; without a valid mark it is 0."""
        return {row.id: self._verdict(row.evidence["marks"]) for row in new if row.kind == "rationale"}

    def _verdict(self, marks: Mapping[str, int | None]) -> Weight:
        valid = [mark for mark in marks.values() if mark is not None]
        reason = ", ".join(f"{reviewer}: {mark or 'no mark'}" for reviewer, mark in sorted(marks.items()))
        mean = sum(valid) / len(valid) if valid else 0.0
        evidence = {"mean_mark": mean, "valid_marks": len(valid), "above": self.above}
        return Weight(float(bool(valid) and mean > self.above), reason, evidence)


@dataclass(frozen=True)
class RationaleAndFeedback:
    """Two tasks: explain and answer, and say what is wrong with a solution.

    `L = alpha * L_feedback + (1 - alpha) * L_rationale`, each a mean over its own tokens. The paper draws one accepted
    rationale and one feedback a question; here all of them are learned from.
    """

    alpha: float = 0.5
    plain: RationaleThenAnswer = field(default_factory=RationaleThenAnswer)

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} is not between 0 (rationales only) and 1 (feedback only)")

    @property
    def roles(self) -> frozenset[str]:
        """Those of the plain format, and `feedback` on a given solution."""
        return self.plain.roles | {"feedback"}

    @property
    def answer_path(self) -> tuple[str, ...]:
        """That of the plain format."""
        return self.plain.answer_path

    def requires(self) -> Requirements:
        """Rationales and feedback."""
        return Requirements(annotation_kinds=frozenset({"rationale", "feedback"}))

    def request(self, question: Question, role: str, task: Task, given: str = "") -> Request:
        """The plain format's prompt, or the question with the solution to find fault with."""
        if role != "feedback":
            return self.plain.request(question, role, task, given)
        return Request(role, f"{task.show(question)}\nWrong: {given}", question.id)

    def read(self, text: str) -> tuple[str, str]:
        """As the plain format."""
        return self.plain.read(text)

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        """The plain format's examples of rationales, then one per feedback, in the question's group."""
        rationales = self.plain.examples([row for row in annotations if row.kind == "rationale"], task, data_rng)
        feedback = [
            TrainingExample(
                group=row.question.id,
                task="feedback",
                prompt=self.request(row.question, "feedback", task, row.evidence["sheet"]).prompt,
                target=(Span(row.rationale, name="feedback"),),
                weight=row.weight,
                annotations=(row.id,),
            )
            for row in annotations
            if row.kind == "feedback" and row.rationale
        ]
        return [*rationales, *feedback]

    def terms(self) -> Mapping[str, Term]:
        """A mean of its own for each task, so that the longer one does not drown the other."""
        return {
            "rationale": Term(frozenset({"rationale_and_answer"}), 1 - self.alpha),
            "feedback": Term(frozenset({"feedback"}), self.alpha),
        }
