"""The roles of a simulated teacher that reads what others wrote: it judges, goes on, argues, criticises and revises."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.tasks.steps import SEPARATOR
from benchmark.teachers.answer_key import AnswerKey, steps_of
from benchmark.teachers.prompt_fields import explained, given_answer, labelled
from benchmark.teachers.replies import ANSWER_CLAUSE, split_answer
from benchmark.types import Question, Request

VERIFY, FIX, FINISH, JUSTIFY, CRITIQUE, REVISE = "verify", "fix", "finish", "justify", "critique", "revise"
CORRECT = "correct"
READING_ROLES = (VERIFY, FIX, FINISH, JUSTIFY, CRITIQUE, REVISE, CORRECT)
"""The roles whose prompts show a text that somebody wrote, or an answer that is given."""
NO_FAULT = "Every step is right."
"""What a critique says if it finds no fault."""
_FAULT = re.compile(r"\bStep (\d+) is (?:wrong|missing|one too many)\b")


@dataclass(frozen=True)
class Judgement:
    """How often one role takes wrong for right, and right for wrong."""

    false_accept: float = 0.0
    """Share of wrong texts, in [0, 1], that it takes for right."""
    false_reject: float = 0.0
    """Share of right texts, in [0, 1], that it takes for wrong."""

    def __post_init__(self) -> None:
        for name in ("false_accept", "false_reject"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not a rate between 0 and 1")

    def accepts(self, right: bool, chance: random.Random) -> bool:
        """Whether it takes a text for right."""
        return chance.random() >= self.false_reject if right else chance.random() < self.false_accept


@dataclass(frozen=True)
class Assignment:
    """What one request asks for: a role, a question, and the texts that its prompt gives."""

    role: str
    question: Question
    texts: tuple[str | None, ...]
    """What the prompt gives; equal texts draw equal random numbers, however the prompt words the rest."""


def assignment_in(request: Request, question: Question, part: str) -> Assignment | None:
    """What a request asks for; None if its prompt lacks a text that the role needs."""
    found = _READERS[request.role](part, request.prefix)
    return None if found is None else Assignment(request.role, question, found)


def _for_verify(part: str, prefix: str) -> tuple[str | None, ...] | None:
    accepted, text = labelled(part, "Accepted") or "", labelled(part, "Next")
    if text is not None:
        return accepted, text
    found = explained(part)
    if found is None:
        return None
    answer, reasoning = found
    return accepted, reasoning if answer is None else f"{reasoning} {clause(answer)}"


def _for_finish(part: str, prefix: str) -> tuple[str | None, ...] | None:
    accepted = labelled(part, "Accepted")
    if accepted is None and not prefix:
        return None
    return (prefix or accepted, labelled(part, "Rejected"), "begun" if prefix else None)


def _for_justify(part: str, prefix: str) -> tuple[str | None, ...] | None:
    answer = given_answer(part)
    return None if answer is None else (answer,)


def _for_critique(part: str, prefix: str) -> tuple[str | None, ...] | None:
    return explained(part)


def _for_revise(part: str, prefix: str) -> tuple[str | None, ...] | None:
    found = explained(part)
    return None if found is None else (*found, labelled(part, "Critique"))


_READERS = {
    VERIFY: _for_verify,
    FIX: _for_finish,
    FINISH: _for_finish,
    JUSTIFY: _for_justify,
    CRITIQUE: _for_critique,
    REVISE: _for_revise,
    CORRECT: _for_critique,
}


@dataclass(frozen=True)
class Player:
    """Plays the reading roles with set rates of wrong judgements."""

    key: AnswerKey
    rates: Mapping[str, Judgement]

    def text(self, task: Assignment, chance: random.Random) -> str | None:
        """The reply; None if the question cannot have the answer that the prompt gives."""
        plays = {
            VERIFY: self._verdict,
            FIX: self._next_line,
            FINISH: self._rest,
            JUSTIFY: self._argument,
            CRITIQUE: self._critique,
            REVISE: self._revision,
            CORRECT: self._correction,
        }
        return plays[task.role](task, chance)

    def _verdict(self, task: Assignment, chance: random.Random) -> str:
        accepted, text = task.texts
        right = self.key.follows(task.question, steps_of(accepted or ""), text or "")
        return "Yes." if self.rates[VERIFY].accepts(right, chance) else "No."

    def _next_line(self, task: Assignment, chance: random.Random) -> str:
        steps, conclusion = self._missing(task, chance)
        return steps[0] if steps else conclusion

    def _rest(self, task: Assignment, chance: random.Random) -> str:
        begun, _, is_prefix = task.texts
        steps, conclusion = self._missing(task, chance)
        text = f"{SEPARATOR.join(steps)} {conclusion}" if steps else conclusion
        if not is_prefix or not begun:
            return text
        return f"{'' if begun.rstrip().endswith(SEPARATOR) else SEPARATOR}{text}" if steps else f" {text}"

    def _missing(self, task: Assignment, chance: random.Random) -> tuple[list[str], str]:
        """(the steps that are written behind the accepted ones, the clause that states the answer)."""
        accepted, rejected, _ = task.texts
        question, before = task.question, steps_of(accepted or "")
        solution, answer = self.key.solve(question)
        rest = steps_of(solution)[len(before) :]
        if rejected is None:
            return rest, clause(answer)
        right = self.key.follows(question, before, rejected)
        accepts = self.rates[task.role].accepts(right, chance)
        if right and not accepts:
            rest, answer = self.key.go_wrong_from(question, len(before), chance)
        elif not right and accepts:
            written, stated = split_answer(rejected)
            again = steps_of(written or "")
            return [*again, *rest[len(again) :]] if stated is None else again, clause(stated or answer)
        return rest, clause(answer)

    def _argument(self, task: Assignment, chance: random.Random) -> str | None:
        [answer] = task.texts
        assert answer is not None
        right = self.key.is_right(task.question, answer)
        if self.rates[JUSTIFY].accepts(right, chance):
            return self.key.argue(task.question, answer)
        return self.key.solve_wrongly(task.question, chance)[0] if right else self.key.solve(task.question)[0]

    def _critique(self, task: Assignment, chance: random.Random) -> str:
        _, explanation = task.texts
        steps = steps_of(explanation or "")
        flaw = self.key.first_flaw(task.question, steps)
        if self.rates[CRITIQUE].accepts(flaw is None, chance):
            return NO_FAULT
        if flaw is None:
            flaw = chance.randrange(len(steps))
        elif flaw >= len(steps):
            return f"Step {flaw + 1} is missing."
        needed = len(steps_of(self.key.solve(task.question)[0]))
        return f"Step {flaw + 1} is {'wrong' if flaw < needed else 'one too many'}."

    def _correction(self, task: Assignment, chance: random.Random) -> str:
        """The first flaw, judged at the rates of `critique`, and on the next line all from there on, which is right."""
        answer, explanation = task.texts
        steps = steps_of(explanation or "")
        flaw = self.key.first_flaw(task.question, steps)
        if flaw is None and not self.key.is_right(task.question, answer or ""):
            flaw = len(steps)
        if self.rates[CRITIQUE].accepts(flaw is None, chance):
            return NO_FAULT
        flaw = chance.randrange(len(steps)) if flaw is None else flaw
        solution, right_answer = self.key.solve(task.question)
        rest = SEPARATOR.join(steps_of(solution)[flaw:])
        return f"Step {flaw + 1} is wrong.\n{rest} {clause(right_answer)}"

    def _revision(self, task: Assignment, chance: random.Random) -> str | None:
        """The explanation, from its first criticised step on anew; a critique of another form is not followed."""
        answer, explanation, critique = task.texts
        steps, found = steps_of(explanation or ""), _FAULT.search(critique or "")
        flaw = int(found[1]) - 1 if found else None
        if found is None and NO_FAULT not in (critique or ""):
            flaw = self.key.first_flaw(task.question, steps)
        if self.rates[REVISE].accepts(flaw is None, chance) or (flaw is None and not steps):
            return explanation
        if flaw is None:
            position = chance.randrange(len(steps))
            return SEPARATOR.join([*steps[:position], *self.key.go_wrong_from(task.question, position, chance)[0]])
        argued = self.key.solve(task.question)[0] if answer is None else self.key.argue(task.question, answer)
        return None if argued is None else SEPARATOR.join([*steps[:flaw], *steps_of(argued)[flaw:]])


def clause(answer: str) -> str:
    """The clause that states an answer."""
    return f"{ANSWER_CLAUSE} {answer}."
