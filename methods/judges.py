"""Judges: how sure a second model is that a solution is right.

Selections ask them about students, weightings about teachers, in the same words; no prompt says who wrote a solution.

A judge is nested in a part (`selection/judge=`, `weighting/judge=`), and its model is the cell's `assistant`. No judge
reads gold answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp

from benchmark.contract import Context, Requirements
from benchmark.types import Annotation, Question, Request, Span, TrainingExample
from methods.answers import sampled

VERDICT = "verdict"
"""The role of prompts that ask for a verdict."""
LEAST_DOUBT = 1e-6
"""Confidences are cut this far from 0 and 1 before their log-odds are taken."""


@dataclass(frozen=True)
class Solution:
    """A solution of a question, by a student or a teacher."""

    question: Question
    rationale: str | None
    answer: str | None

    @property
    def text(self) -> str:
        """The solution as judges read it."""
        return f"{self.rationale or ''}\nAnswer: {self.answer}"

    @classmethod
    def of(cls, annotation: Annotation) -> Solution:
        """What an annotation says."""
        return cls(annotation.question, annotation.rationale, annotation.answer)


@runtime_checkable
class Judge(Protocol):
    """Says how sure it is of solutions."""

    def requires(self) -> Requirements:
        """What it needs: in most cases an assistant."""
        ...

    def confidences(self, solutions: Sequence[Solution], context: Context) -> list[float]:
        """Per solution how sure it is that the answer is right, in [0, 1]; equal solutions get equal numbers."""
        ...


@dataclass(frozen=True)
class PTrue:
    """How much more probable the assistant finds one verdict than the other (P(True); Kadavath et al., 2022).

    `p(right) / (p(right) + p(wrong))`, each summed over its words, EOS left out. With both orders, two prompts that
    name the verdicts in either order are averaged, which takes out a preference for the first or the last.
    """

    template: str = "{question}\n{solution}\nIs this solution right? {first} or {second}:"
    """The prompt; `{question}` is the question as the task shows it."""
    right: tuple[str, ...] = ("True",)
    """Words for a right solution."""
    wrong: tuple[str, ...] = ("False",)
    """Words for a wrong one."""
    both_orders: bool = False
    """Whether two prompts are averaged; twice the work."""

    def requires(self) -> Requirements:
        """An assistant that gives verdicts a probability."""
        return Requirements(assistant=True, assistant_verdicts=True)

    def confidences(self, solutions: Sequence[Solution], context: Context) -> list[float]:
        """See the class."""
        forward, *backward = [self._one_order(solutions, context, *order) for order in self._orders()]
        return [float(np.mean(each)) for each in zip(forward, *backward, strict=True)]

    def _orders(self) -> list[tuple[str, str]]:
        order = (self.right[0], self.wrong[0])
        return [order, order[::-1]] if self.both_orders else [order]

    def _one_order(self, solutions: Sequence[Solution], context: Context, first: str, second: str) -> list[float]:
        words = (*self.right, *self.wrong)
        asked = [
            Request(VERDICT, self._prompt(one, context, first, second), one.question.id, continuations=words)
            for one in solutions
        ]
        scores = [reply.continuation_log_probabilities for [reply] in context.assistant.generate(asked)]
        right, wrong = np.split(np.array(scores).reshape(-1, len(words)), [len(self.right)], axis=1)
        found: list[float] = expit(logsumexp(right, axis=1) - logsumexp(wrong, axis=1)).tolist()
        return found

    def _prompt(self, solution: Solution, context: Context, first: str, second: str) -> str:
        shown = context.task.show(solution.question)
        return self.template.format(question=shown, solution=solution.text, first=first, second=second)


@dataclass(frozen=True)
class Likelihood:
    """How likely the assistant finds the text of a solution: the exponential of its mean log-probability per token.

    EOS is left out. It is no probability of being right, so that it ranks solutions and is not calibrated.
    """

    def requires(self) -> Requirements:
        """An assistant that knows the probability of any text."""
        return Requirements(assistant=True, assistant_likelihoods=True)

    def confidences(self, solutions: Sequence[Solution], context: Context) -> list[float]:
        """See the class; 0 for a text without tokens."""
        texts = [
            TrainingExample("solution", "solution", context.task.show(one.question), (Span(one.text),))
            for one in solutions
        ]
        scores = context.assistant.target_log_probabilities(texts)
        return [math.exp(sum(tokens[:-1]) / (len(tokens) - 1)) if len(tokens) > 1 else 0.0 for tokens in scores]


@dataclass(frozen=True)
class Agreement:
    """The share of the assistant's own answers that equal the solution's (a second teacher that answers too).

    The assistant is asked along the format's answer path. A recording (`assistant=recorded`) can be asked once.
    """

    samples: int = 1
    """How many answers of the assistant are compared."""
    temperature: float = 0.0
    """The temperature of these answers; above 0 with several samples."""

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.samples > 1) != (self.temperature > 0):
            raise ValueError(
                f"samples={self.samples} and temperature={self.temperature}: take 1 at temperature 0 or several above 0"
            )

    def requires(self) -> Requirements:
        """An assistant."""
        return Requirements(assistant=True)

    def confidences(self, solutions: Sequence[Solution], context: Context) -> list[float]:
        """See the class; 0 for a solution without an answer. The assistant answers each question once."""
        questions = list({solution.question.id: solution.question for solution in solutions}.values())
        found = sampled(questions, context, self.samples, self.temperature, "agreement", context.assistant)
        answers = {each.question.id: each.answers for each in found}
        return [
            0.0 if one.answer is None else answers[one.question.id].count(one.answer) / self.samples
            for one in solutions
        ]


@dataclass(frozen=True)
class Tuned:
    """Several judges in one: a logistic regression over their log-odds, fitted on what earlier rounds bought.

    The student answers the annotated questions again. A solution of the student counts as right where its answer is the
    annotated one, and as wrong elsewhere, so that no gold answer is needed. Before anything is bought, or where all
    answers agree or all differ, the mean of the judges counts.
    """

    judges: tuple[Judge, ...]
    """The judges; at least one."""
    penalty: float = 1.0
    """The L2 penalty on the weights of standardised log-odds."""

    def __post_init__(self) -> None:
        if not self.judges:
            raise ValueError("judges is empty; name at least one judge to tune")
        if self.penalty <= 0:
            raise ValueError(f"penalty={self.penalty} must be above 0")

    def requires(self) -> Requirements:
        """What the judges require."""
        needs = Requirements()
        for judge in self.judges:
            needs = needs | judge.requires()
        return needs

    def confidences(self, solutions: Sequence[Solution], context: Context) -> list[float]:
        """See the class."""
        asked = self._log_odds(solutions, context)
        rows = [row for row in context.annotations if row.answer is not None and row.kind == "rationale"]
        bought = {row.question.id: row for row in rows}
        said = sampled([row.question for row in bought.values()], context, 1, 0.0, "judged") if bought else []
        known = [self._solution(each.question, each.texts[0], each.answers[0], context) for each in said]
        agrees = np.array([one.answer == bought[one.question.id].answer for one in known], dtype=float)
        if len(set(agrees.tolist())) < 2:
            return [float(each) for each in expit(asked).mean(axis=1)]
        return _fitted(self._log_odds(known, context), agrees, asked, self.penalty)

    def _log_odds(self, solutions: Sequence[Solution], context: Context) -> np.ndarray:
        """[solutions, judges]."""
        columns = [judge.confidences(solutions, context) for judge in self.judges]
        return np.array(logit(np.clip(np.array(columns).T.reshape(len(solutions), -1), LEAST_DOUBT, 1 - LEAST_DOUBT)))

    def _solution(self, question: Question, text: str, answer: str | None, context: Context) -> Solution:
        return Solution(question, context.format.read(text)[0], answer)


def _fitted(known: np.ndarray, agrees: np.ndarray, asked: np.ndarray, penalty: float) -> list[float]:
    """The probabilities of a penalised logistic regression of `agrees` on `known`, at the rows of `asked`."""
    centre, scale = known.mean(axis=0), np.where(known.std(axis=0) > 0, known.std(axis=0), 1.0)
    rows, sign = (known - centre) / scale, 2 * agrees - 1

    def loss(weights: np.ndarray) -> float:
        margins = sign * (rows @ weights[1:] + weights[0])
        return float(np.logaddexp(0, -margins).sum() + penalty * (weights[1:] ** 2).sum() / 2)

    weights = minimize(loss, np.zeros(known.shape[1] + 1), method="BFGS").x
    found: list[float] = expit(((asked - centre) / scale) @ weights[1:] + weights[0]).tolist()
    return found
