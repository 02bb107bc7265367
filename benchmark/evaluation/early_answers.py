"""What a model answers when it is stopped in the middle of an explanation.

One probe with two uses. Before training, a selection asks how far the steps of an explanation move the answer (ELAD,
Zhang et al., 2024). After training, a measure says how far a student's explanations decide its answers (early
answering, Lanham et al., 2023, arXiv 2307.13702).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import softmax

from benchmark.contract import Format, Task, TextModel
from benchmark.types import Question, Request

Way = Literal["finish", "now"]
"""`finish`: the model goes on with the explanation and then answers. `now`: it must answer at once."""
ROLES: Mapping[Way, str] = {"finish": "rationale_and_answer", "now": "answer_given"}
"""The role of a format in which the model is asked in each way."""
Distribution = Mapping[str | None, float]
"""Answer -> probability, adding up to 1; None stands for every text without a readable answer."""
_GAP = re.compile(r"^[\s;]+")


@dataclass(frozen=True)
class Beginning:
    """A part of an explanation of a question, after which the model is asked for its answer."""

    question: Question
    given: str


def beginnings(task: Task, explanation: str) -> list[str]:
    """The parts before each step, from the empty one on: as many as there are steps. The whole is not among them."""
    steps = task.steps(explanation)
    return [task.join(steps[:count]) for count in range(len(steps))]


def without_each_step(task: Task, explanation: str) -> list[str]:
    """The explanation without its first step, without its second one, and so on."""
    steps = task.steps(explanation)
    return [joined_without(task, [*steps[:i], None, *steps[i + 1 :]]) for i in range(len(steps))]


def joined_without(task: Task, steps: Sequence[str | None]) -> str:
    """Steps of one explanation as a text, without those that are None."""
    text = task.join([step for step in steps if step is not None])
    dropped_first = bool(steps) and steps[0] is None
    return _GAP.sub("", text) if dropped_first else text  # nothing separates the first step from nothing


def early_answers(
    model: TextModel,
    form: Format,
    task: Task,
    asked: Sequence[Beginning],
    way: Way,
    key: str = "early answers",
    max_new_tokens: int | None = None,
) -> dict[Beginning, str | None]:
    """The greedy answer after each part; None where none can be read. Equal parts are asked about once.

    `max_new_tokens` caps each reply whose request sets no cap; None leaves the cap to the model.
    """
    distinct = list(dict.fromkeys(asked))
    requests = [_request(each, form, task, way) for each in distinct]
    requests = [replace(each, max_new_tokens=each.max_new_tokens or max_new_tokens) for each in requests]
    replies = model.generate(requests, key=key)
    return {
        each: _answer(each.question, request.prefix + reply.text, form, task)
        for each, request, [reply] in zip(distinct, requests, replies, strict=True)
    }


def early_distributions(
    model: TextModel,
    form: Format,
    task: Task,
    asked: Sequence[Beginning],
    way: Way,
    samples: int = 5,
    temperature: float = 0.7,
    key: str = "early distributions",
) -> dict[Beginning, Distribution]:
    """How probable each answer is after each part.

    A question with choices that is answered `now` gives the softmax of its options' log-probabilities. Every other one
    gives the shares of `samples` sampled answers.
    """
    distinct = list(dict.fromkeys(asked))
    scored = [each for each in distinct if way == "now" and each.question.choices]
    sampled = [each for each in distinct if not (way == "now" and each.question.choices)]
    return {
        **_option_shares(model, form, task, scored),
        **_sampled_shares(model, form, task, sampled, way, samples, temperature, key),
    }


def answer_log_probabilities(
    model: TextModel, form: Format, task: Task, asked: Sequence[tuple[Beginning, str]]
) -> list[float]:
    """Per (part, answer) the answer's natural log-probability, summed over its tokens, where it is asked for `now`."""
    requests = [replace(_request(each, form, task, "now"), continuations=(answer,)) for each, answer in asked]
    found: list[float] = []
    for [reply] in model.generate(requests) if requests else []:
        assert reply.continuation_log_probabilities is not None
        found.append(reply.continuation_log_probabilities[0])
    return found


def _option_shares(
    model: TextModel, form: Format, task: Task, asked: Sequence[Beginning]
) -> dict[Beginning, Distribution]:
    requests = [
        replace(_request(each, form, task, "now"), continuations=tuple(each.question.choices or ())) for each in asked
    ]
    shares: dict[Beginning, Distribution] = {}
    for each, [reply] in zip(asked, model.generate(requests) if requests else [], strict=True):
        assert each.question.choices is not None
        assert reply.continuation_log_probabilities is not None
        probabilities = softmax(np.array(reply.continuation_log_probabilities)).tolist()
        shares[each] = dict(zip(each.question.choices, probabilities, strict=True))
    return shares


def _sampled_shares(
    model: TextModel,
    form: Format,
    task: Task,
    asked: Sequence[Beginning],
    way: Way,
    samples: int,
    temperature: float,
    key: str,
) -> dict[Beginning, Distribution]:
    requests = [replace(_request(each, form, task, way), temperature=temperature) for each in asked]
    shares: dict[Beginning, Distribution] = {}
    replies_of = model.generate(requests, samples, key=key) if requests else []
    for each, request, replies in zip(asked, requests, replies_of, strict=True):
        found: dict[str | None, float] = {}
        for reply in replies:
            answer = _answer(each.question, request.prefix + reply.text, form, task)
            found[answer] = found.get(answer, 0.0) + 1 / samples
        shares[each] = found
    return shares


def _request(each: Beginning, form: Format, task: Task, way: Way) -> Request:
    return form.request(each.question, ROLES[way], task, each.given)


def _answer(question: Question, text: str, form: Format, task: Task) -> str | None:
    return task.parse(question, form.read(text)[1])
