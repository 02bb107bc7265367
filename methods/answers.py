"""What a student answers to a question when it is asked several times; selections of several papers begin with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.contract import Context, ExplainingFormat, TextModel
from benchmark.types import Question, Reply


@dataclass(frozen=True)
class Sampled:
    """Several texts that the student wrote about one question, along its format's answer path."""

    question: Question
    """The question."""
    texts: tuple[str, ...]
    """What it wrote for the last role of the path."""
    answers: tuple[str | None, ...]
    """The answer in each text, read strictly; None where there is none. Answers, not texts, are compared: above
    temperature 0 no two chains of thought are the same."""
    log_probabilities: tuple[float, ...]
    """Per text the natural log-probability of one of its tokens, on average, at temperature 1; NaN if not reported."""

    @property
    def usual(self) -> str | None:
        """The most frequent answer; of equally frequent ones the first that came, None included."""
        return Counter(self.answers).most_common(1)[0][0]

    @property
    def first_usual(self) -> int:
        """The number of the first text with the usual answer."""
        return self.answers.index(self.usual)


def sampled(
    pool: Sequence[Question],
    context: Context,
    samples: int,
    temperature: float,
    key: str = "explanations",
    model: TextModel | None = None,
) -> list[Sampled]:
    """Per question `samples` texts of the student, or of another `model`; at temperature 0 one text is enough.

    Counts `answers` and `unread_answers` of the student with `Context.note`, so that the record says how many could not
    be read.
    """
    replies = _along(pool, context, context.format.answer_path, samples, temperature, key, model)
    found = [_read(question, of_question, context) for question, of_question in zip(pool, replies, strict=True)]
    answers = [answer for each in found for answer in each.answers]
    if model is None:
        context.note(answers=len(answers), unread_answers=answers.count(None))
    return found


def refuse_too_few_samples(samples: int, temperature: float, name: str = "samples") -> None:
    """Raises ValueError for settings of `sampled` by which all answers to a question would be the same.

    `name` is the setting that says how many samples, for the message.
    """
    if samples < 2:
        raise ValueError(f"{name}={samples} cannot differ from each other; take at least 2")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} gives the same answer every time; take more than 0, such as 0.7")


def explained(pool: Sequence[Question], context: Context) -> list[str]:
    """Per question the student's greedy explanation. Declare `Requirements(explanations=True)`."""
    form = context.format
    if not isinstance(form, ExplainingFormat):
        raise ValueError(f"format {type(form).__name__} has no explanation_path; declare explanations in requires()")
    replies = _along(pool, context, form.explanation_path, 1, 0.0, "explained")
    return [form.read_explanation(reply.text) for [reply] in replies]


def _along(
    pool: Sequence[Question],
    context: Context,
    path: Sequence[str],
    samples: int,
    temperature: float,
    key: str,
    model: TextModel | None = None,
) -> Sequence[Sequence[Reply]]:
    """Per question `samples` replies to the last role of a path of the format."""
    first, *others = path
    requests = [
        replace(context.format.request(question, first, context.task), temperature=temperature) for question in pool
    ]
    asked = context.student if model is None else model
    replies: Sequence[Sequence[Reply]] = asked.generate(requests, samples, key=key)
    for role in others:
        replies = _next_turn(pool, replies, role, context, temperature, key, asked)
    return replies


def _next_turn(
    pool: Sequence[Question],
    before: Sequence[Sequence[Reply]],
    role: str,
    context: Context,
    temperature: float,
    key: str,
    model: TextModel,
) -> list[list[Reply]]:
    """The replies to a later role of the answer path; each sample goes on from its own text."""
    columns: list[list[Reply]] = []
    for sample in range(len(before[0]) if before else 0):
        requests = [
            replace(
                context.format.request(question, role, context.task, of_question[sample].text),
                temperature=temperature,
            )
            for question, of_question in zip(pool, before, strict=True)
        ]
        replies = model.generate(requests, key=f"{key} {role} {sample}")
        columns.append([reply for [reply] in replies])
    return [list(row) for row in zip(*columns, strict=True)]


def _read(question: Question, replies: Sequence[Reply], context: Context) -> Sampled:
    texts = tuple(reply.text for reply in replies)
    answers = tuple(context.task.parse(question, context.format.read(text)[1]) for text in texts)
    return Sampled(question, texts, answers, tuple(map(_per_token, replies)))


def _per_token(reply: Reply) -> float:
    if reply.log_probability is None:
        return float("nan")
    return reply.log_probability / max(1, reply.completion_tokens)
