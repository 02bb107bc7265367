"""Multiple choice by likelihood: the answer is the option that the student finds likeliest as the end of its reply.

Where the format reasons first, the student reasons greedily as ever, and the options stand behind its own reasoning.
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
    """The likeliest option of every example, the first of several. `advance` is told of generations and of choices.

    Raises ValueError for a format that cannot say what stands before an answer, and for an example without options.
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
    """The roles of the answer path in which the student writes: all, or all but a last one that is the answer alone."""
    return form.answer_path if _reasons_last(_scorable(form)) else form.answer_path[:-1]


def scores(
    log_probabilities: Sequence[Sequence[float]], options: Sequence[str], normalisation: OptionLikelihood
) -> tuple[float, ...]:
    """Per option the sum of its tokens' log-probabilities, EOS included, over the number of tokens or characters."""
    totals = [math.fsum(of_tokens) for of_tokens in log_probabilities]
    sizes = {
        "total": [1 for _ in options],
        "per_token": [len(of_tokens) for of_tokens in log_probabilities],
        "per_character": [max(1, len(option)) for option in options],
    }[normalisation]
    return tuple(total / size for total, size in zip(totals, sizes, strict=True))


def _scorable(form: Format) -> ScorableFormat:
    if not isinstance(form, ScorableFormat):
        raise ValueError(f"the format {type(form).__name__} has no `before_answer`; evaluation.option_likelihood=null")
    return form


def _reasons_last(form: ScorableFormat) -> bool:
    return form.before_answer("") is not None


def _request(question: Question, replies: Sequence[Reply], form: ScorableFormat, task: Task) -> OptionRequest:
    if not question.choices:
        raise ValueError(f"question {question.id!r} has no options to choose from; evaluation.option_likelihood=null")
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
        rationale=form.read(text)[0] or "\n".join(reply.text for reply in earlier),
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
