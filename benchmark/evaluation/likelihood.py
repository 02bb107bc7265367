"""Multiple choice by likelihood: the answer is the option with the highest score as the end of the student's reply.

If the format reasons before the answer, the student first writes its reasoning greedily, and the options follow it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from benchmark.contract import Format, ScorableFormat, Task
from benchmark.evaluation.accuracy import Evaluation
from benchmark.evaluation.answer_path import follow, last_text
from benchmark.evaluation.settings import OptionLikelihood
from benchmark.student.options import OptionRequest
from benchmark.student.student import Student
from benchmark.tasks.thinking import without_trace
from benchmark.types import Example, Prediction, Question, Reply


def choose(
    student: Student,
    examples: Sequence[Example],
    form: Format,
    task: Task,
    normalisation: OptionLikelihood,
    max_new_tokens: int | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> Evaluation:
    """Chooses the option with the highest score for every example; of equal scores the first option counts.

    Args:
        student: the student that reasons and scores.
        examples: the examples, each with options.
        form: a format with `before_answer`, which says what text comes before an answer.
        task: how a question is shown and an answer read.
        normalisation: what an option's log-probability is divided by, see `OptionLikelihood`.
        max_new_tokens: the cap in tokens for requests that set none; None (the default) leaves it to the student.
        advance: called after each batch with the number of finished generations, later of scored questions; does
            nothing by default.

    Raises:
        ValueError: for a format without `before_answer`, and for an example without options.
    """
    form = _scorable(form)
    started = time.perf_counter()
    questions = [example.without_gold() for example in examples]
    turns = follow(written_roles(form), student, questions, form, task, max_new_tokens, advance=advance)
    requests = [_request(*row, form, task) for row in zip(questions, turns, strict=True)]
    found = student.option_log_probabilities(requests, advance)
    predictions = tuple(
        _prediction(example, request.prompt, replies, scores(of_options, request.options, normalisation), form, task)
        for example, replies, request, of_options in zip(examples, turns, requests, found, strict=True)
    )
    return Evaluation(predictions, time.perf_counter() - started, answers_by=f"option likelihood ({normalisation})")


def written_roles(form: Format) -> tuple[str, ...]:
    """The roles of the answer path for which the student writes: all, without a last one that is the answer alone.

    Raises ValueError for a format without `before_answer`.
    """
    return form.answer_path if _reasons_last(_scorable(form)) else form.answer_path[:-1]


def scores(
    log_probabilities: Sequence[Sequence[float]], options: Sequence[str], normalisation: OptionLikelihood
) -> tuple[float, ...]:
    """One score per option: the sum of its tokens' natural log-probabilities, EOS included, over a divisor.

    The divisor is 1 (`total`), the number of tokens (`per_token`), or of characters but at least 1 (`per_character`).
    """
    totals = [math.fsum(of_tokens) for of_tokens in log_probabilities]
    sizes = {
        "total": [1 for _ in options],
        "per_token": [len(of_tokens) for of_tokens in log_probabilities],
        "per_character": [max(1, len(option)) for option in options],
    }[normalisation]
    return tuple(total / size for total, size in zip(totals, sizes, strict=True))


def _scorable(form: Format) -> ScorableFormat:
    if not isinstance(form, ScorableFormat):
        raise ValueError(
            f"the format {type(form).__name__} has no `before_answer`; give evaluation.option_likelihood=null"
        )
    return form


def _reasons_last(form: ScorableFormat) -> bool:
    return form.before_answer("") is not None


def _request(question: Question, replies: Sequence[Reply], form: ScorableFormat, task: Task) -> OptionRequest:
    if not question.choices:
        raise ValueError(
            f"question {question.id!r} has no options to choose from; give evaluation.option_likelihood=null"
        )
    earlier = replies[: len(form.answer_path) - 1]
    request = form.request(question, form.answer_path[-1], task, last_text(earlier))
    begun = request.prefix + last_text(replies[len(earlier) :])
    before = form.before_answer(begun)
    return OptionRequest(question.id, request.prompt, begun if before is None else before, question.choices)


def _prediction(
    example: Example,
    prompt: str,
    replies: Sequence[Reply],
    of_options: tuple[float, ...],
    form: ScorableFormat,
    task: Task,
) -> Prediction:
    options = example.choices or ()
    likeliest = max(range(len(options)), key=of_options.__getitem__)
    answer = task.parse(example.without_gold(), options[likeliest])
    correct = task.is_correct(example, answer)
    text = last_text(replies) if _reasons_last(form) else ""
    earlier = replies[:-1] if _reasons_last(form) else replies
    return Prediction(
        example_id=example.id,
        prompt=prompt,
        text=text,
        rationale=form.read(without_trace(text))[0] or "\n".join(reply.text for reply in earlier),
        answer=answer,
        gold=example.answer,
        correct=correct,
        flexible_answer=answer,
        flexible_correct=correct,
        truncated=any(reply.finish == "length" for reply in replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        option_scores=of_options,
    )
